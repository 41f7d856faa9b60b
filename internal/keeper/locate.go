package keeper

import (
	"errors"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/dispatcher"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
)

// pending is a process that was told to unshare its mount namespace: what the builder's looks like.
type pending struct {
	root *os.File // of the process, in the mount namespace that it leaves; open for reading, or it can't be handed over
	ns   *os.File // that namespace
	cwd  *os.File // its working directory there, where it goes back
	id   uint64   // the namespace's number
}

func (p *pending) close() {
	for _, f := range []*os.File{p.root, p.ns, p.cwd} {
		if f != nil {
			f.Close()
		}
	}
}

// locate attaches the hidden directory to the root of a process which has none. The namespace of a process that may
// unshare it is made its own first, so that the builder never sees a mount. A process without the right, that of a
// container, has a namespace which the builder doesn't look into.
func (k *keeper) locate(r seccomp.Request) (int64, *os.File, error) {
	proc := "/proc/" + strconv.Itoa(r.PID)
	id, err := identify(proc + "/root")
	if err != nil {
		return 0, nil, err
	}
	if id == k.hostRoot {
		return 0, nil, unix.EXDEV
	}
	ns, err := namespace(proc)
	if err != nil {
		return 0, nil, err
	}
	step := r.Args[2]
	k.mu.Lock()
	before := k.pending[r.PID]
	delete(k.pending, r.PID)
	k.mu.Unlock()
	if before != nil {
		defer before.close()
	}
	a, name, err := k.examine(r)
	if err != nil {
		return 0, nil, err
	}
	if !k.listener.Valid(r.ID) {
		return 0, nil, unix.ESRCH
	}
	switch {
	case slices.Contains(mountPrograms, path.Base(name)):
		return 0, nil, unix.EXDEV
	case step == dispatcher.StepUnshared && before != nil && before.id != ns:
		if err := k.attach(r, id, a, before, ns); err != nil {
			return 0, nil, err
		}
		f, err := k.again(r, proc, name, before.root)
		return 0, f, err
	case step == dispatcher.StepFirst && mayUnshare(proc):
		return dispatcher.LocateUnshare, nil, k.await(r, proc, ns)
	case ns == k.builderNS:
		return 0, nil, unix.EPERM
	}
	return dispatcher.LocateReady, nil, k.attach(r, id, a, nil, ns)
}

// answerLocate answers with a number or a descriptor.
func (k *keeper) answerLocate(r seccomp.Request) {
	value, file, err := k.locate(r)
	if file == nil {
		_ = k.listener.Answer(r.ID, value, number(err))
		return
	}
	defer file.Close()
	_ = k.listener.AnswerFD(r.ID, file, unix.O_CLOEXEC)
}

// await notes what the process leaves behind when it unshares.
func (k *keeper) await(r seccomp.Request, proc string, ns uint64) error {
	root, err := os.OpenFile(proc+"/root", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	space, err := os.Open(proc + "/ns/mnt")
	if err != nil {
		root.Close()
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.setPending(r.PID, &pending{root: root, ns: space, id: ns})
	return nil
}

// setPending notes what a process leaves behind, under the lock, and forgets those that were killed before they asked
// again: an open descriptor keeps the builder from unmounting a root.
func (k *keeper) setPending(pid int, p *pending) {
	for other, old := range k.pending {
		var st unix.Stat_t
		if other == pid || unix.Stat("/proc/"+strconv.Itoa(other), &st) != nil {
			old.close()
			delete(k.pending, other)
		}
	}
	k.pending[pid] = p
}

// namespace is the number of a process's mount namespace.
func namespace(proc string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(proc+"/ns/mnt", &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}

// noteBuilder notes what the builder's own mount namespace is.
func (k *keeper) noteBuilder() (err error) {
	k.builderNS, err = namespace("/proc/" + strconv.Itoa(k.first.Pid))
	return err
}

// mayUnshare reports whether a process has CAP_SYS_ADMIN in its user namespace.
func mayUnshare(proc string) bool {
	set, err := capabilities(proc)
	return err == nil && set&(1<<unix.CAP_SYS_ADMIN) != 0
}

// capabilities is a process's effective set.
func capabilities(proc string) (uint64, error) {
	text, err := os.ReadFile(proc + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, unix.ENODATA
}

func duplicate(f *os.File) (*os.File, error) {
	n, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(n), f.Name()), nil
}

// reopen opens a directory's descriptor anew, for use of its own.
func reopen(dir *os.File) (*os.File, error) { return duplicate(dir) }

// number is the error number of err, 0 for none.
func number(err error) unix.Errno {
	if err == nil {
		return 0
	}
	var e unix.Errno
	if errors.As(err, &e) {
		return e
	}
	return unix.EIO
}
