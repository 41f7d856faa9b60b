package probe

import (
	"errors"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
)

// Loopback brings the loopback interface of the process's own network namespace up.
func Loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(s)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return os.NewSyscallError("bring up lo", unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r))
}

// Proc mounts a new /proc of the process's own pid namespace over the old one, and one of processes only beside it.
func Proc() error {
	const attributes = mount.NoSuid | mount.NoDev | mount.NoExec
	private, err := mount.New("proc", attributes, mount.Option{Key: "subset", Value: "pid"})
	if err != nil {
		return err
	}
	private.Close()
	proc, err := mount.New("proc", attributes)
	if err != nil {
		return err
	}
	defer proc.Close()
	return mount.AttachAt(proc, "/proc")
}

// Terminals mounts a devpts instance, detached.
func Terminals() error {
	f, err := mount.New("devpts", mount.NoSuid|mount.NoExec, mount.Option{Key: "mode", Value: "620"}, mount.Option{Key: "ptmxmode", Value: "666"})
	if err != nil {
		return err
	}
	return f.Close()
}

// Inner executes file in a user namespace below this one, with the ids mapped to themselves, and waits for its end.
func Inner(file, name string, uids, gids []syscall.SysProcIDMap) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	setgroups := len(gids) != 1 || gids[0].Size > 1 // with a single id it had to be given up outside
	p, err := os.StartProcess(file, []string{name}, &os.ProcAttr{
		Env: []string{}, Files: []*os.File{null, null, null},
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: uids, GidMappings: gids, GidMappingsEnableSetgroups: setgroups, Setsid: true},
	})
	if err != nil {
		return err
	}
	state, err := p.Wait()
	if err == nil && !state.Success() {
		err = errors.New("the inner process: " + state.String())
	}
	return err
}

// Listener installs a run's seccomp filter, with its listener, on the calling thread, which must be locked and end
// afterwards; magic is the option of prctl(2) for the broker.
func Listener(magic uint32) error {
	filter, err := seccomp.Filter(runtime.GOARCH, magic)
	if err != nil {
		return err
	}
	f, err := seccomp.Install(filter)
	if err != nil {
		return err
	}
	return f.Close()
}

// Peer copies descriptor 0 of another process, as the broker does with those that ask it.
func Peer(pid int) error {
	p, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(p)
	fd, err := unix.PidfdGetfd(p, 0, 0)
	return os.NewSyscallError("pidfd_getfd", closing(fd, err))
}
