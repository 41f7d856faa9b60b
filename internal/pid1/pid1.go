// Package pid1 is the first process of a run's pid namespace and the short stage before the command: it mounts /proc,
// makes the merged root the root, installs the seccomp filter, starts the command in the inner user namespace, forwards
// signals and reaps. When it ends, everything the command started has ended. It trusts the worker and nobody else, and
// knows nothing of policy, tool roots or what is committed.
package pid1

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
	"github.com/crossroot/crossroot/internal/protocol"
)

// Main runs pid 1; descriptor 3 is the connection to the worker.
func Main() int {
	runtime.LockOSThread()
	conn := fdsock.Open(os.NewFile(3, "worker"))
	exit, err := run(conn)
	if err != nil {
		_ = conn.Send(protocol.InitEvent{Kind: protocol.InitFailed, Failure: failure(err)})
		return 1
	}
	_ = conn.Send(protocol.InitEvent{Kind: protocol.InitExited, Exit: exit})
	return 0
}

// errProc marks the mounts of /proc, which containers hinder.
var errProc = errors.New("a new /proc is refused")

func failure(err error) *protocol.Failure {
	f := &protocol.Failure{Kind: "init", Message: err.Error()}
	if errors.Is(err, errProc) {
		f.Kind = "proc"
	}
	errors.As(err, &f.Errno)
	return f
}

func run(conn *fdsock.Conn) (*protocol.Exit, error) {
	var c protocol.Init
	files, err := conn.Receive(&c)
	if err != nil {
		return nil, err
	}
	limits, err := enterRoot()
	if err != nil {
		return nil, err
	}
	stdio, err := standardFiles(conn, c, files)
	if err != nil {
		return nil, err
	}
	if len(c.Filter) > 0 {
		listener, err := seccomp.Install(decodeFilter(c.Filter))
		if err != nil {
			return nil, err
		}
		if err := conn.Send(protocol.InitEvent{Kind: protocol.InitListener}, listener); err != nil {
			return nil, err
		}
		listener.Close()
	}
	heard := signals() // before anyone can send one
	pid, failed, err := start(c, stdio, limits)
	if err != nil {
		return nil, err
	}
	for _, f := range stdio {
		f.Close()
	}
	if err := conn.Send(protocol.InitEvent{Kind: protocol.InitStarted}); err != nil {
		return nil, err
	}
	go obey(conn)
	go forward(heard, pid)
	exit := reap(pid, failed)
	if exit.Exec != "" && exit.Code == 125 { // the stage's own failure, not the command's
		return nil, &protocol.Failure{Message: exit.Exec, Errno: syscall.Errno(exit.Errno)}
	}
	return exit, nil
}

// enterRoot mounts what needs this pid namespace and makes /merged the root. It returns the open files that limit
// nested namespaces: they lie under /proc/sys, which is read-only afterwards.
func enterRoot() ([]*os.File, error) {
	private, err := mount.New("proc", mount.NoSuid|mount.NoDev|mount.NoExec, mount.Option{Key: "subset", Value: "pid"})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProc, err)
	}
	defer private.Close()
	if err := mount.AttachAt(private, "/merged"+protocol.HiddenDir+"/proc"); err != nil {
		return nil, err
	}
	proc, err := mount.New("proc", mount.NoSuid|mount.NoDev|mount.NoExec)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProc, err)
	}
	defer proc.Close()
	limits, err := openLimits(proc)
	if err != nil {
		return nil, err
	}
	if err := mount.AttachAt(proc, "/merged/proc"); err != nil {
		return nil, err
	}
	if err := mask(proc); err != nil {
		return nil, err
	}
	merged, err := os.OpenFile("/merged", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer merged.Close()
	return limits, mount.Pivot(merged)
}

// decodeFilter is the inverse of EncodeFilter.
func decodeFilter(b []byte) []unix.SockFilter {
	filter := make([]unix.SockFilter, len(b)/8)
	for i := range filter {
		in := b[8*i:]
		filter[i] = unix.SockFilter{Code: binary.LittleEndian.Uint16(in), Jt: in[2], Jf: in[3], K: binary.LittleEndian.Uint32(in[4:])}
	}
	return filter
}

// EncodeFilter lays a seccomp program out for protocol.Init.
func EncodeFilter(filter []unix.SockFilter) []byte {
	b := make([]byte, 0, 8*len(filter))
	for _, in := range filter {
		b = binary.LittleEndian.AppendUint16(b, in.Code)
		b = append(b, in.Jt, in.Jf)
		b = binary.LittleEndian.AppendUint32(b, in.K)
	}
	return b
}

// obey waits for the end of the connection: without a worker nothing may go on.
func obey(conn *fdsock.Conn) {
	for {
		var ignored protocol.Order
		if _, err := conn.Receive(&ignored); err != nil {
			os.Exit(1)
		}
	}
}

// signals are those for the command; from here on none of the others makes the Go runtime print its stacks: whoever
// sends them may be the command, whose ids are the same.
func signals() <-chan os.Signal {
	c := make(chan os.Signal, 16)
	signal.Notify(c, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT, unix.SIGTSTP)
	signal.Notify(make(chan os.Signal, 1), unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGSEGV, unix.SIGSYS, unix.SIGTRAP, unix.SIGXCPU, unix.SIGXFSZ)
	return c
}

// forward passes the worker's signals on: to the command, or, if it is one that terminals send, to its process group.
func forward(signals <-chan os.Signal, pid int) {
	for s := range signals {
		to := -pid
		if s == unix.SIGTERM || s == unix.SIGUSR1 || s == unix.SIGUSR2 {
			to = pid
		}
		_ = unix.Kill(to, s.(syscall.Signal))
	}
}

// reap waits for every process until the command has ended, then ends the rest. failed delivers why the command
// could not be executed.
func reap(command int, failed *os.File) *protocol.Exit {
	var exit protocol.Exit
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &exit
		}
		if pid != command {
			continue
		}
		switch {
		case status.Exited():
			exit.Code = status.ExitStatus()
		case status.Signaled():
			exit.Signal = int(status.Signal())
			exit.Code = 128 + exit.Signal
		default:
			continue
		}
		readFailure(failed, &exit)
		_ = unix.Kill(-1, unix.SIGKILL)
		return &exit
	}
}
