package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/kernel/probe"
	"github.com/crossroot/crossroot/internal/kernel/userns"
)

// patience bounds what a child may take: nothing that it does waits for anybody.
const patience = 30 * time.Second

// Facts are what was found out about the machine.
type Facts struct {
	Environment
	MissingCalls []probe.Call

	IDs      userns.Map
	IDsErr   error // the user has no ids
	SpawnErr error // no namespaces
	Kinds    []string
	MapErr   error // the ids could not be mapped
	IDMapErr error // real root: no idmapped mount of ROOT (or of crossroot's own executable)
	IDMapped bool  // it was tried
	CloneErr error // real root: no detached mount
	Inside   Tries

	DevicesErr error
	Machine    Machine
}

// Gather tries everything that needs no ROOT; with one (its path and architecture), also what depends on its file
// system. tools is where native programs come from, "/" is this machine.
func Gather(ctx context.Context, tools, root string, target arch.Arch) Facts {
	f := Facts{Environment: ReadEnvironment(), Inside: Tries{}}
	f.Machine.look(ctx, tools, target)
	for _, c := range probe.Calls() {
		if c.Missing() {
			f.MissingCalls = append(f.MissingCalls, c)
		}
	}
	f.DevicesErr = devices()
	f.namespaces(root)
	return f
}

// devices checks the nodes that a run's /dev gets.
func devices() error {
	return errors.Join(
		probe.Device("/dev/null", 1, 3), probe.Device("/dev/zero", 1, 5), probe.Device("/dev/full", 1, 7),
		probe.Device("/dev/random", 1, 8), probe.Device("/dev/urandom", 1, 9), probe.Device("/dev/tty", 5, 0),
	)
}

// namespaces starts the child that tries things inside and takes its answer.
func (f *Facts) namespaces(root string) {
	f.IDs, f.IDsErr = f.Caller.Map(false)
	conn, p, err := spawn(childName, userns.Namespaces|unix.CLONE_NEWNET)
	if err != nil {
		f.SpawnErr, f.Kinds = err, refused()
		return
	}
	defer conn.Close()
	defer func() { _ = p.Kill(); _, _ = p.Wait() }()
	ids := f.IDs
	if f.IDsErr != nil {
		ids = f.alone()
	}
	if err := ids.Write(p.Pid); err != nil {
		if f.IDsErr == nil {
			f.MapErr = err
		}
		return
	}
	r := request{Executable: f.Executable, Root: root, UIDs: ids.UIDs, GIDs: ids.GIDs}
	files := f.trees(&r, p.Pid, root)
	var a answer
	if err := converse(conn, r, files, &a); err != nil {
		a.Tries = Tries{tryStage: failure(fmt.Errorf("try inside the namespaces: %w", err))}
	}
	f.Inside = a.Tries
	for _, file := range files {
		file.Close()
	}
}

// alone is the map of somebody without subordinate ids: the other things can be tried with it all the same.
func (f *Facts) alone() userns.Map {
	return userns.Map{UIDs: []userns.Range{{Inside: 0, Outside: f.Caller.UID, Size: 1}}, GIDs: []userns.Range{{Inside: 0, Outside: f.Caller.GID, Size: 1}}, Alone: true}
}

// trees makes the detached mounts that real root's child gets, as a run does: its ids reach no path of root's.
func (f *Facts) trees(r *request, pid int, root string) []*os.File {
	if f.Caller.UID != 0 || f.IDsErr != nil {
		return nil
	}
	var ns *os.File
	if f.Caller.Initial() {
		ns, f.IDMapErr = os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
		if f.IDMapErr == nil {
			defer ns.Close()
		}
	}
	var files []*os.File
	add := func(what, path string) {
		tree, err := mount.Clone(nil, path, false)
		if err != nil {
			f.CloneErr = err
			return
		}
		if ns != nil {
			err := mount.IDMap(tree, ns)
			f.IDMapped = true
			if what == "root" || root == "" {
				f.IDMapErr = err
			}
		}
		r.Trees = append(r.Trees, what)
		files = append(files, tree)
	}
	add("executable", "/proc/self/exe")
	if root != "" {
		add("root", root)
	}
	return files
}

// spawn starts a child of ours in new namespaces.
func spawn(name string, flags uintptr) (*fdsock.Conn, *os.Process, error) {
	conn, theirs, err := fdsock.Pair()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	defer null.Close()
	p, err := userns.Spawn(name, []string{}, flags, null, null, os.Stderr, theirs)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, p, nil
}

// converse sends the request and waits for the answer, within bounds.
func converse(conn *fdsock.Conn, r request, files []*os.File, a *answer) error {
	timer := time.AfterFunc(patience, conn.Shutdown)
	defer timer.Stop()
	if err := conn.Send(r, files...); err != nil {
		return err
	}
	if err := receive(conn, a); err != nil {
		return err
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

// refused names the kinds of namespace that can't be had even alone, "user" first.
func refused() []string {
	var kinds []string
	for _, k := range []struct {
		name string
		flag uintptr
	}{{"user", 0}, {"mount", unix.CLONE_NEWNS}, {"ipc", unix.CLONE_NEWIPC}, {"uts", unix.CLONE_NEWUTS}, {"cgroup", unix.CLONE_NEWCGROUP}, {"network", unix.CLONE_NEWNET}} {
		conn, p, err := spawn(innerName, unix.CLONE_NEWUSER|k.flag)
		if err != nil {
			kinds = append(kinds, k.name)
			if k.flag == 0 {
				return kinds
			}
			continue
		}
		_, _ = p.Wait()
		conn.Close()
	}
	return kinds
}
