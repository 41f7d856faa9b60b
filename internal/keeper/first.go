package keeper

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/dispatcher"
	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
	"github.com/crossroot/crossroot/internal/protocol"
)

// orders is what the builder's first process is told.
type orders struct {
	Command []string
	Env     []string
	Workdir string
	Umask   int
	NoSync  bool
}

// told is what it tells.
type told struct {
	Proc    bool // with a procfs for the hidden directories
	Filter  bool // with the listener: everything waits for the order to go
	Warning string
	Exit    *protocol.Exit
	Failure *protocol.Failure
}

// startFirst makes the builder's first process, in a user namespace of its own below the keeper's: so the keeper is out
// of the builder's reach, and what is read-only for it stays so. It is pid 1 of its pid namespace: nothing outlives it.
func (k *keeper) startFirst() (*fdsock.Conn, error) {
	conn, theirs, err := fdsock.Pair()
	if err != nil {
		return nil, err
	}
	flags := uintptr(unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC)
	if k.setup.NoNet {
		flags |= unix.CLONE_NEWNET
	}
	// In a namespace whose groups can't be dropped, such as that of `unshare -r`, neither can they below.
	setgroups, err := os.ReadFile("/proc/self/setgroups")
	if err != nil {
		return nil, err
	}
	k.first, err = os.StartProcess("/proc/self/exe", []string{FirstName}, &os.ProcAttr{
		Env: []string{}, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, theirs},
		Sys: &syscall.SysProcAttr{
			Cloneflags: flags, Pdeathsig: unix.SIGKILL,
			UidMappings: sameIDs(k.setup.UIDs), GidMappings: sameIDs(k.setup.GIDs), GidMappingsEnableSetgroups: string(setgroups) != "deny\n",
		},
	})
	theirs.Close()
	if err != nil {
		return nil, fmt.Errorf("start the builder's first process: %w", err)
	}
	// The keeper leaves the terminal's session: Ctrl-C and Ctrl-Z are for the builder.
	_, _ = unix.Setsid()
	for i := range 2 { // the streams are the builder's alone: whoever reads them sees their end
		null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		_ = unix.Dup2(int(null.Fd()), i)
		null.Close()
	}
	return conn, nil
}

// passedOn makes a real-time signal of one that a terminal could have sent.
const passedOn = syscall.Signal(40)

func sameIDs(ranges []protocol.Range) []syscall.SysProcIDMap {
	var m []syscall.SysProcIDMap
	for _, r := range ranges {
		m = append(m, syscall.SysProcIDMap{ContainerID: r.Inside, HostID: r.Inside, Size: r.Size})
	}
	return m
}

// converse gives the first process its orders and takes what it tells, until it ends.
func (k *keeper) converse(conn *fdsock.Conn) (*protocol.Exit, error) {
	defer conn.Close()
	s := &k.setup
	if err := conn.Send(orders{Command: s.Command, Env: s.Env, Workdir: s.Workdir, Umask: k.umask, NoSync: s.NoSync}); err != nil {
		return nil, err
	}
	for {
		var t told
		files, err := conn.Receive(&t)
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case t.Proc && len(files) == 1:
			if err := k.attachProc(files[0]); err != nil {
				return nil, err
			}
		case t.Filter && len(files) == 1:
			k.listener = seccomp.NewListener(files[0])
			if err := k.noteBuilder(); err != nil {
				return nil, err
			}
			go k.answer()
			if err := conn.Send(true); err != nil {
				return nil, err
			}
			if err := k.conn.Send(Event{Kind: EventStarted}); err != nil {
				return nil, err
			}
		case t.Warning != "":
			k.warn("%s", t.Warning)
		case t.Exit != nil:
			return t.Exit, nil
		case t.Failure != nil:
			return nil, t.Failure
		}
	}
}

// FirstMain is the builder's first process: it mounts what its pid namespace needs, installs the filter, starts the
// builder and reaps. Descriptor 3 is the connection to the keeper.
func FirstMain() int {
	runtime.LockOSThread()
	conn := fdsock.Open(os.NewFile(3, "keeper"))
	exit, err := runFirst(conn)
	if err != nil {
		_ = conn.Send(told{Failure: failure(err)})
		return 1
	}
	_ = conn.Send(told{Exit: exit})
	return 0
}

func runFirst(conn *fdsock.Conn) (*protocol.Exit, error) {
	var o orders
	if _, err := conn.Receive(&o); err != nil {
		return nil, err
	}
	heard := make(chan os.Signal, 32)
	signal.Notify(heard, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGPIPE,
		passedOn+unix.SIGINT, passedOn+unix.SIGQUIT)
	if err := mountProc(conn); err != nil {
		return nil, err
	}
	filter, err := seccomp.BuilderFilter(runtime.GOARCH, dispatcher.Magic, o.NoSync)
	if err != nil {
		return nil, err
	}
	listener, err := seccomp.Install(filter)
	if err != nil {
		return nil, err
	}
	if err := conn.Send(told{Filter: true}, listener); err != nil {
		return nil, err
	}
	listener.Close()
	var ready bool
	if _, err := conn.Receive(&ready); err != nil {
		return nil, err
	}
	pid, exit := startBuilder(o)
	if exit != nil {
		return exit, nil
	}
	if null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil {
		for i := range 3 { // whoever reads the builder's streams sees their end
			_ = unix.Dup3(int(null.Fd()), i, 0)
		}
		null.Close()
	}
	go func() {
		var nothing bool
		_, _ = conn.Receive(&nothing) // the end of the keeper is the end of the builder
		os.Exit(1)
	}()
	go func() {
		for s := range heard {
			switch n := s.(syscall.Signal); n { // the terminal's signals reach the builder by themselves
			case unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2:
				_ = unix.Kill(pid, n)
			case passedOn + unix.SIGINT, passedOn + unix.SIGQUIT:
				_ = unix.Kill(pid, n-passedOn)
			}
		}
	}()
	return reap(pid), nil
}

// mountProc shows the builder its pid namespace, and gives the keeper a procfs for the hidden directories. In a container
// that covers parts of /proc a new one is refused: then the old one stays.
func mountProc(conn *fdsock.Conn) error {
	const attributes = mount.NoSuid | mount.NoDev | mount.NoExec
	// What the builder mounts in a root appears in the namespaces that are made for attachments there.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return os.NewSyscallError("make mounts shared", err)
	}
	private, err := mount.New("proc", attributes, mount.Option{Key: "subset", Value: "pid"})
	if err != nil {
		return &Error{Kind: "proc", Err: fmt.Errorf("a new /proc is refused: %w", err)}
	}
	defer private.Close()
	proc, err := mount.New("proc", attributes)
	if err != nil {
		return &Error{Kind: "proc", Err: fmt.Errorf("a new /proc is refused: %w", err)}
	}
	defer proc.Close()
	if err := mount.AttachAt(proc, "/proc"); err != nil {
		return err
	}
	return conn.Send(told{Proc: true}, private)
}

// startBuilder starts the command; its exit code says why that failed.
func startBuilder(o orders) (int, *protocol.Exit) {
	os.Clearenv()
	for _, e := range o.Env {
		if key, value, ok := strings.Cut(e, "="); ok {
			_ = os.Setenv(key, value)
		}
	}
	unix.Umask(o.Umask)
	if err := os.Chdir(o.Workdir); err != nil {
		return 0, &protocol.Exit{Code: 125, Exec: err.Error()}
	}
	file, err := exec.LookPath(o.Command[0])
	if err == nil || errors.Is(err, exec.ErrDot) {
		var pid int
		if pid, err = syscall.ForkExec(file, o.Command, &syscall.ProcAttr{Env: o.Env, Files: []uintptr{0, 1, 2}}); err == nil {
			return pid, nil
		}
		err = &os.PathError{Op: "execute", Path: file, Err: err}
	}
	exit := &protocol.Exit{Code: 126, Exec: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		exit.Errno = int(errno)
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		exit.Code = 127
	}
	return 0, exit
}

// reap waits for every process until the command has ended; the rest ends with this process.
func reap(command int) *protocol.Exit {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &protocol.Exit{Code: 125, Exec: err.Error()}
		}
		switch {
		case pid != command:
		case status.Exited():
			return &protocol.Exit{Code: status.ExitStatus()}
		case status.Signaled():
			return &protocol.Exit{Code: 128 + int(status.Signal()), Signal: int(status.Signal())}
		}
	}
}
