package keeper

import (
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/dispatcher"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
)

// mountPrograms change the mount namespace. In one that was made for an attachment the builder wouldn't see what they
// did: they are emulated in the builder's.
var mountPrograms = []string{"mount", "umount", "pivot_root", "switch_root", "swapon", "swapoff", "losetup"}

// mounts reports whether the executable behind a peer's descriptor is one of mountPrograms, in a namespace that is not the
// builder's.
func (k *keeper) mounts(pid, descriptor int) bool {
	f, err := broker.Descriptor(pid, descriptor)
	if err != nil {
		return false
	}
	defer f.Close()
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	return err == nil && slices.Contains(mountPrograms, path.Base(name)) && k.private(pid) != nil
}

// private finds the attachment for which the process's mount namespace was made.
func (k *keeper) private(pid int) *attachment {
	ns, err := namespace("/proc/" + strconv.Itoa(pid))
	if err != nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, at := range k.attached {
		if at.ns != nil && at.mine == ns {
			return at
		}
	}
	return nil
}

// outside gives a process in a namespace made for an attachment what it needs to go back: the builder's mount namespace,
// its root there, its working directory there.
func (k *keeper) outside(r seccomp.Request) {
	f, errno := k.outsideFile(r)
	if f == nil {
		_ = k.listener.Answer(r.ID, 0, errno)
		return
	}
	defer f.Close()
	_ = k.listener.AnswerFD(r.ID, f, unix.O_CLOEXEC)
}

func (k *keeper) outsideFile(r seccomp.Request) (*os.File, unix.Errno) {
	proc := "/proc/" + strconv.Itoa(r.PID)
	switch r.Args[1] {
	case dispatcher.OutsideNamespace:
		at := k.private(r.PID)
		if at == nil {
			return nil, unix.ENOENT
		}
		id, err := identify(proc + "/root")
		if err != nil || k.known(id) != at.root {
			return nil, unix.EXDEV // it has changed its root since
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		ns, err := duplicate(at.ns)
		if err != nil {
			return nil, number(err)
		}
		root, err := duplicate(at.dir)
		if err != nil {
			ns.Close()
			return nil, number(err)
		}
		if !mayReturn(proc, ns) {
			ns.Close()
			root.Close()
			return nil, unix.EPERM
		}
		k.setPending(r.PID, &pending{root: root, ns: ns})
		k.noteReturn(r.PID, at)
		back, err := duplicate(at.ns)
		if err != nil {
			return nil, number(err)
		}
		k.returning(r.PID, proc, root)
		return back, 0
	case dispatcher.OutsideRoot, dispatcher.OutsideDirectory:
		k.mu.Lock()
		defer k.mu.Unlock()
		p := k.pending[r.PID]
		if p == nil {
			return nil, unix.ENOENT
		}
		from := p.root
		if r.Args[1] == dispatcher.OutsideDirectory {
			delete(k.pending, r.PID)
			defer p.close()
			if from = p.cwd; from == nil {
				from = p.root
			}
		}
		f, err := duplicate(from)
		if err != nil {
			return nil, number(err)
		}
		return f, 0
	}
	return nil, unix.EINVAL
}

// returning notes the directory in the builder's namespace that is the process's working directory here.
func (k *keeper) returning(pid int, proc string, root *os.File) {
	here, err := os.Readlink(proc + "/cwd")
	if err != nil {
		return
	}
	top, err := os.Readlink(proc + "/root")
	if err != nil {
		return
	}
	inside, ok := strings.CutPrefix(here, strings.TrimSuffix(top, "/"))
	if !ok {
		return
	}
	if dir, err := fd.Open(root, inside+"/", unix.O_RDONLY|unix.O_DIRECTORY, 0); err == nil {
		k.pending[pid].cwd = dir
	}
}

func (k *keeper) known(id identity) *root {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.roots[id]
}
