package keeper

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/dispatcher"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
	"github.com/crossroot/crossroot/internal/protocol"
)

// answer serves requests until no process of the builder is left.
func (k *keeper) answer() {
	for {
		r, err := k.listener.Receive()
		if err != nil {
			return
		}
		go k.answerOne(r)
	}
}

func (k *keeper) answerOne(r seccomp.Request) {
	switch r.Call {
	case seccomp.CallExitGroup:
		k.replay(r.PID)
		k.exits(r.PID)
		_ = k.listener.Continue(r.ID)
	case seccomp.CallUname:
		k.uname(r)
	case seccomp.CallMknod:
		k.mknod(r, unix.AT_FDCWD, r.Args[0], uint32(r.Args[1]), r.Args[2])
	case seccomp.CallMknodat:
		k.mknod(r, int(int32(r.Args[0])), r.Args[1], uint32(r.Args[2]), r.Args[3])
	case seccomp.CallMagic:
		switch r.Args[0] {
		case dispatcher.RequestMiss:
			_ = k.listener.Answer(r.ID, 0, k.miss(r))
		case dispatcher.RequestLocate:
			k.answerLocate(r)
		case dispatcher.RequestEmulator:
			k.emulator(r)
		case dispatcher.RequestOutside:
			k.outside(r)
		case dispatcher.RequestPresent:
			_ = k.listener.Answer(r.ID, dispatcher.Present, 0)
		default:
			_ = k.listener.Answer(r.ID, 0, unix.EINVAL)
		}
	default:
		_ = k.listener.Continue(r.ID)
	}
}

// rootOf finds the root that a process is in, and its path as this process sees it; nil where nothing is attached.
func (k *keeper) rootOf(pid int) (*root, string) {
	link := "/proc/" + strconv.Itoa(pid) + "/root"
	id, err := identify(link)
	if err != nil {
		return nil, ""
	}
	k.mu.Lock()
	r := k.roots[id]
	if r != nil && r.users == 0 {
		r = nil
	}
	k.mu.Unlock()
	if r == nil {
		return nil, ""
	}
	f, err := os.OpenFile(link, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, ""
	}
	defer f.Close()
	top, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return nil, ""
	}
	return r, strings.TrimSuffix(top, "/")
}

// miss decides for an executable that a root's exec map doesn't know.
func (k *keeper) miss(r seccomp.Request) unix.Errno {
	root, top := k.rootOf(r.PID)
	if root == nil || root.broker == nil {
		return unix.ENOENT
	}
	if k.mounts(r.PID, int(int32(r.Args[1]))) {
		return unix.EXDEV // carried out where the builder sees it
	}
	return root.broker.Miss(k.listener, r, top)
}

// uname tells native programs that run in place of a root's own the root's CPU; everybody else asks the kernel.
func (k *keeper) uname(r seccomp.Request) {
	// The name of the executable proves nothing, and gains nothing but this answer.
	exe, err := os.Readlink("/proc/" + strconv.Itoa(r.PID) + "/exe")
	if err != nil || !strings.Contains(exe, protocol.HiddenDir+"/t/") {
		_ = k.listener.Continue(r.ID)
		return
	}
	root, _ := k.rootOf(r.PID)
	if root == nil {
		_ = k.listener.Continue(r.ID)
		return
	}
	broker.AnswerUname(k.listener, r, root.arch.Uname)
}

// maxNames bounds how many paths are told apart in the report of executions by descriptor.
const maxNames = 1000

// emulator hands over the emulator for the architecture whose dispatcher asks: the way where nothing can be attached.
func (k *keeper) emulator(r seccomp.Request) {
	name, err := broker.ReadString(r.PID, r.Args[1], 64)
	if err != nil {
		_ = k.listener.Answer(r.ID, 0, unix.EFAULT)
		return
	}
	for _, e := range k.setup.Emulators {
		if name != protocol.HiddenDir+"/"+k.handlerOf[e.Arch]+"/entry" {
			continue
		}
		file, err := k.locked(e.File.Path)
		if err != nil {
			break
		}
		f, err := os.Open(file)
		if err != nil {
			break
		}
		defer f.Close()
		if k.listener.AnswerFD(r.ID, f, unix.O_CLOEXEC) == nil {
			k.countEmulated(r)
		}
		return
	}
	_ = k.listener.Answer(r.ID, 0, unix.ENOENT)
}

func (k *keeper) countEmulated(r seccomp.Request) {
	name := "(unknown)"
	if f, err := broker.Descriptor(r.PID, int(int32(r.Args[2]))); err == nil {
		if n, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd()))); err == nil {
			name = n
		}
		f.Close()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, known := k.byFD[name]; known || len(k.byFD) < maxNames {
		k.byFD[name]++
	}
}
