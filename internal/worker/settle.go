package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/transaction"
)

// settle takes the merged root apart, tells what changed, and commits or discards as ordered.
func (w *worker) settle() error {
	w.settling.Store(true)
	report := &protocol.Report{Warnings: w.warnings}
	if err := w.readRecord(report); err != nil {
		return err
	}
	if err := w.dissolve(); err != nil {
		return err
	}
	w.removePoints()
	full := spoolFull()
	plan, err := w.inspect(report)
	if err != nil {
		_ = w.clearSpool()
		return &Error{Kind: "inspect", Err: err}
	}
	w.lap("inspect")
	report.Times = w.times
	var manifest []byte
	if w.setup.Manifest {
		if manifest, err = w.describe(plan); err != nil {
			return &Error{Kind: "inspect", Err: err}
		}
	}
	if err := w.conn.Send(protocol.Event{Kind: protocol.EventChanges, Report: report, Manifest: manifest}); err != nil {
		return err
	}
	order := <-w.orders
	w.settling.Store(false)
	done, phase := protocol.EventDiscarded, "discard"
	if order.Kind == protocol.OrderCommit && full {
		_ = w.clearSpool()
		return &Error{Kind: "full", Err: errors.New("the run filled the file system that holds its changes: what it wrote may be cut, so nothing was kept")}
	}
	if order.Kind == protocol.OrderCommit {
		done, phase = protocol.EventCommitted, "commit"
		if err := plan.Commit(context.Background()); err != nil {
			_ = w.clearSpool()
			return &Error{Kind: "commit", Err: err}
		}
	}
	if err := w.clearSpool(); err != nil {
		w.warn("%v", err)
	}
	w.lap(phase)
	report.Times = w.times
	return w.conn.Send(protocol.Event{Kind: done, Report: report})
}

// readRecord adds up the executions.
func (w *worker) readRecord(report *protocol.Report) error {
	f, err := os.Open("/record/log")
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	report.Truncated = info.Size() >= recordLimit-4096
	report.Programs = w.broker.Programs()
	_, report.Nodes = w.broker.Nodes()
	return nil
}

// dissolve unmounts the overlay: every process of the run is gone, so that nothing can hold it; from here on the upper
// changes no more.
func (w *worker) dissolve() error {
	w.layout.merged.Close()
	if w.handlers != nil {
		w.handlers.Close()
	}
	for {
		err := unix.Unmount("/merged", 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return &os.PathError{Op: "unmount", Path: "/merged", Err: err}
		}
		if done, err := w.unmountBelow(); err != nil || done {
			return err
		}
	}
}

// unmountBelow unmounts the topmost of what is mounted on the merged root.
func (w *worker) unmountBelow() (done bool, err error) {
	points, err := mountsBelow("/merged")
	if err != nil {
		return false, err
	}
	if len(points) == 0 {
		return false, fmt.Errorf("unmount the merged root: it is held: %w", unix.EBUSY)
	}
	for i := len(points) - 1; i >= 0; i-- {
		if err := unix.Unmount(points[i], unix.UMOUNT_NOFOLLOW); err != nil {
			return false, &os.PathError{Op: "unmount", Path: points[i], Err: err}
		}
	}
	return false, nil
}

// freeze ends all writing to the upper. Unmounting the overlay isn't enough for that: a descriptor of the run's that got
// out (by a socket that the caller passed on) keeps it alive. A spool on the disk can't be frozen.
func (w *worker) freeze() error {
	if w.setup.SpoolSize == 0 {
		return nil
	}
	for try := 0; ; try++ {
		err := unix.Mount("", "/up", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		if errors.Is(err, unix.EBUSY) && try < 100 { // the kernel closes the files of the dead a little later
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if errors.Is(err, unix.EBUSY) {
			return errors.New("a process outside holds files of the run open, and could go on changing them")
		}
		if err != nil {
			return fmt.Errorf("end the writing to the run's changes: %w", err)
		}
		return nil
	}
}

// inspect reads the upper.
func (w *worker) inspect(report *protocol.Report) (*transaction.Plan, error) {
	nodes, _ := w.broker.Nodes()
	o := transaction.Options{Drop: w.layout.made, Started: w.started, Nodes: map[string]transaction.Node{}}
	if w.setup.MakesNodes {
		o.MakeNode = w.makeNode
	}
	upper, lower, same, err := w.committing()
	if err != nil {
		return nil, err
	}
	o.SameMount = same
	for name, n := range nodes {
		if !w.emptyPlaceholder(name, n) {
			continue
		}
		mode := n.Mode
		if st, err := fd.Lstat(upper, name); err == nil {
			mode = st.Mode // the placeholder's: the umask, and a chmod since
		}
		o.Nodes[name] = transaction.Node{Block: n.Mode&unix.S_IFMT == unix.S_IFBLK, Major: n.Major, Minor: n.Minor, Mode: mode & 0o7777}
	}
	if err := w.freeze(); err != nil {
		return nil, err
	}
	plan, err := transaction.Inspect(context.Background(), upper, lower, o)
	if err != nil {
		return nil, err
	}
	for _, c := range plan.Changes() {
		report.Changes = append(report.Changes, protocol.Change{Path: c.Path, Kind: string(c.Kind), Type: c.Type})
	}
	for _, text := range append(plan.Warnings(), w.scanForLeaks(report.Changes)...) {
		w.warn("%s", text)
	}
	report.Warnings = w.warnings
	return plan, nil
}

// makeNode has the outside process make a device node, which no user namespace may.
func (w *worker) makeNode(dir *os.File, name string, n transaction.Node) error {
	mode := n.Mode | unix.S_IFCHR
	if n.Block {
		mode = n.Mode | unix.S_IFBLK
	}
	event := protocol.Event{Kind: protocol.EventNode, Node: &protocol.Node{Name: name, Mode: mode, Major: n.Major, Minor: n.Minor}}
	if err := w.conn.Send(event, dir); err != nil {
		return err
	}
	if order := <-w.orders; order.Kind != protocol.OrderNode || order.Error != "" {
		return fmt.Errorf("make device node %s: %s", name, order.Error)
	}
	return nil
}

// emptyPlaceholder throws away what was written to a node's placeholder, as the device would have. It reports whether
// the placeholder is still there: a file that the script put in its place stays what it is.
func (w *worker) emptyPlaceholder(name string, n protocol.Node) bool {
	f, err := fd.Open(w.layout.upper, name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Ino != n.Ino || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	return unix.Ftruncate(int(f.Fd()), 0) == nil
}
