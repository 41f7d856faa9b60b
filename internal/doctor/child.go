package doctor

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/dispatcher"
	"github.com/crossroot/crossroot/internal/kernel/binfmt"
	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/kernel/overlay"
	"github.com/crossroot/crossroot/internal/kernel/probe"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/protocol"
)

// Names under which crossroot's own executable is started again, in namespaces like a run's: see Child.
const (
	childName   = "crossroot-doctor"
	initName    = "crossroot-doctor-init"
	innerName   = "crossroot-doctor-inner"
	handlerName = "/crossroot-doctor-handler"
	scanName    = "crossroot-doctor-scan"
)

// handled is the exit status of the handler of foreign executables.
const handled = 42

// Child runs what a process called by one of this package's names has to do, and says whether it was.
func Child(name string) (code int, ok bool) {
	switch name {
	case childName:
		return serve(tryWorker), true
	case initName:
		return serve(tryInit), true
	case scanName:
		return serve(scanChild), true
	case innerName:
		return 0, true
	case handlerName:
		return handled, true
	}
	return 0, false
}

// request is what a child is asked; descriptors come with it: the executable and ROOT as detached mounts (of real
// root), or nothing.
type request struct {
	Executable string   // path, where there is no descriptor
	Root       string   // path, "" for none
	Trees      []string // what the descriptors are: "executable", "root"
	UIDs, GIDs []userns.Range
	Scan       scanIDs
}

// The things that are tried inside.
const (
	tryStage    = "stage"      // tmpfs, pivot_root
	tryAttrs    = "attributes" // user attributes on a tmpfs
	tryOverlay  = "overlay"    // over tmpfs, with deletions
	tryRoot     = "root"       // the overlay over ROOT
	tryHandlers = "handlers"   // binfmt_misc
	tryDispatch = "dispatch"   // a foreign executable reaches its handler
	tryLoopback = "loopback"
	tryPID      = "pid"  // a pid namespace
	tryPeer     = "peer" // a descriptor of a process below
	tryProc     = "proc"
	tryPty      = "pty"
	tryInner    = "inner" // the user namespace of the command
	tryListener = "listener"
)

// Tries are the results: a failure without a message is what works; what is absent was not tried, because something
// before it failed.
type Tries map[string]protocol.Failure

// do notes the result of try under name and reports whether it worked.
func (t Tries) do(name string, try func() error) bool {
	err := try()
	t[name] = failure(err)
	return err == nil
}

// failure keeps an error's text and number.
func failure(err error) protocol.Failure {
	if err == nil {
		return protocol.Failure{}
	}
	f := protocol.Failure{Message: err.Error()}
	errors.As(err, &f.Errno)
	return f
}

// answer is what a child reports.
type answer struct {
	Tries Tries
	Scan  *Scan
	Error string
}

// serve takes the request on descriptor 3 and sends the answer.
func serve(work func(request, []*os.File) answer) int {
	runtime.LockOSThread()
	conn := fdsock.Open(os.NewFile(3, "doctor"))
	var r request
	files, err := conn.Receive(&r)
	if err != nil {
		return 1
	}
	if err := conn.Send(work(r, files)); err != nil {
		return 1
	}
	return 0
}

// tryWorker tries what a run's worker does, in the same order.
func tryWorker(r request, files []*os.File) answer {
	t := Tries{}
	if !t.do(tryStage, func() error { return stage(r, files) }) {
		return answer{Tries: t}
	}
	t.do(tryAttrs, func() error { return probe.UserAttributes("/up") })
	if t.do(tryOverlay, tryMerge) && r.Root != "" {
		t.do(tryRoot, func() error { return merge("/root") })
	}
	t.do(tryLoopback, probe.Loopback)
	var table *binfmt.Table
	if t.do(tryHandlers, func() (err error) { table, err = binfmt.Open(); return err }) {
		t.do(tryDispatch, func() error { return dispatch(table) })
	}
	tryBelow(t, r)
	return answer{Tries: t}
}

// stage makes a small root of the child's own, and attaches what is needed there.
func stage(r request, files []*os.File) error {
	if err := userns.BecomeRoot(); err != nil {
		return err
	}
	if err := mount.Private(); err != nil {
		return err
	}
	trees, err := trees(r, files)
	if err != nil {
		return err
	}
	tmpfs, err := mount.New("tmpfs", mount.NoDev, mount.Option{Key: "size", Value: "4m"}, mount.Option{Key: "mode", Value: "755"})
	if err != nil {
		return err
	}
	defer tmpfs.Close()
	if err := mount.AttachAt(tmpfs, "/"); err != nil {
		return err
	}
	if err := mount.Pivot(tmpfs); err != nil {
		return err
	}
	for at, tree := range trees {
		if err := attach(tree, at); err != nil {
			return err
		}
	}
	return errors.Join(os.Mkdir("/up", 0o755), os.Mkdir("/dev", 0o755), os.WriteFile(os.DevNull, nil, 0o666))
}

// trees collects detached mounts, by the places that they will have.
func trees(r request, files []*os.File) (map[string]*os.File, error) {
	trees := map[string]*os.File{}
	for i, what := range r.Trees {
		if i >= len(files) {
			return nil, fmt.Errorf("descriptor of %s is missing", what)
		}
		trees["/"+what] = files[i]
	}
	for at, source := range map[string]string{"/proc": "/proc", "/executable": r.Executable, "/root": r.Root} {
		if trees[at] != nil || source == "" {
			continue
		}
		var err error
		if trees[at], err = mount.Clone(nil, source, true); err != nil {
			return nil, err
		}
	}
	return trees, nil
}

// attach puts a tree on a new file or directory.
func attach(tree *os.File, at string) error {
	defer tree.Close()
	info, err := tree.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.Mkdir(at, 0o755)
	} else {
		err = os.WriteFile(at, nil, 0o755)
	}
	if err != nil {
		return err
	}
	return mount.AttachAt(tree, at)
}

// tryMerge mounts an overlay over directories of the stage's tmpfs and deletes in it, as package tools do.
func tryMerge() error {
	if err := errors.Join(os.MkdirAll("/lower/dir/below", 0o755), os.WriteFile("/lower/file", nil, 0o644)); err != nil {
		return err
	}
	if err := merge("/lower"); err != nil {
		return err
	}
	return errors.Join(os.Remove("/merged/file"), os.RemoveAll("/merged/dir"), os.Mkdir("/merged/dir", 0o755))
}

// merge mounts a run's overlay over lower on /merged and looks into it.
func merge(lower string) error {
	_ = unix.Unmount("/merged", unix.MNT_DETACH)
	upper := "/up" + lower
	if err := errors.Join(os.MkdirAll("/merged", 0o755), os.MkdirAll(upper+"/upper", 0o755), os.MkdirAll(upper+"/work", 0o755)); err != nil {
		return err
	}
	tree, err := mount.New("overlay", 0, overlay.Options(lower, upper+"/upper", upper+"/work", false)...)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := mount.AttachAt(tree, "/merged"); err != nil {
		return err
	}
	_, err = os.ReadDir("/merged")
	return err
}

// dispatch executes a foreign executable whose handler is this program.
func dispatch(table *binfmt.Table) error {
	defer table.Close()
	if err := os.Symlink("/executable", handlerName); err != nil {
		return err
	}
	magic, mask := foreign().Magic()
	if err := table.Register("crossroot-doctor", magic, mask, handlerName, "POCF"); err != nil {
		return err
	}
	if err := os.WriteFile("/foreign", append(magic, make([]byte, 64)...), 0o755); err != nil {
		return err
	}
	p, err := os.StartProcess("/foreign", []string{"/foreign"}, &os.ProcAttr{Env: []string{}})
	if err != nil {
		return err
	}
	state, err := p.Wait()
	if err == nil && state.ExitCode() != handled {
		err = fmt.Errorf("a foreign executable did not reach its handler: %s", state)
	}
	return err
}

// foreign is an architecture that this machine can't run.
func foreign() arch.Arch {
	for _, a := range arch.All() {
		if !a.MayRunOn(arch.Host()) {
			return a
		}
	}
	return arch.Arch{}
}

// tryBelow tries what pid 1 of a run does.
func tryBelow(t Tries, r request) {
	conn, theirs, err := fdsock.Pair()
	if err != nil {
		t[tryPID] = failure(err)
		return
	}
	defer conn.Close()
	p, err := os.StartProcess("/executable", []string{initName}, &os.ProcAttr{
		Env: []string{}, Files: []*os.File{theirs, nil, nil, theirs},
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL},
	})
	theirs.Close()
	if !t.do(tryPID, func() error { return err }) {
		return
	}
	defer func() { _ = p.Kill(); _, _ = p.Wait() }()
	t.do(tryPeer, func() error { return probe.Peer(p.Pid) })
	var a answer
	time.AfterFunc(patience, conn.Shutdown)
	if err := errors.Join(conn.Send(r), receive(conn, &a)); err != nil {
		t[tryPID] = failure(fmt.Errorf("pid 1 of the namespace: %w", err))
		return
	}
	for name, result := range a.Tries {
		t[name] = result
	}
}

func receive(conn *fdsock.Conn, v any) error {
	_, err := conn.Receive(v)
	return err
}

// tryInit tries what needs a pid namespace. The listener comes last: the calls that it stops have nobody to answer.
func tryInit(r request, _ []*os.File) answer {
	t := Tries{}
	if t.do(tryProc, probe.Proc) {
		t.do(tryInner, func() error { return probe.Inner("/executable", innerName, identity(r.UIDs), identity(r.GIDs)) })
	}
	t.do(tryPty, probe.Terminals)
	t.do(tryListener, func() error { return probe.Listener(dispatcher.Magic) })
	return answer{Tries: t}
}

// identity maps each range to itself.
func identity(ranges []userns.Range) []syscall.SysProcIDMap {
	var m []syscall.SysProcIDMap
	for _, r := range ranges {
		m = append(m, syscall.SysProcIDMap{ContainerID: r.Inside, HostID: r.Inside, Size: r.Size})
	}
	return m
}
