package pid1

import (
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/protocol"
)

// StageMain is the process that becomes the command: root of the inner user namespace. It gives up what scripts have
// no use for and executes the command; it returns only when that failed.
func StageMain() int {
	runtime.LockOSThread()
	failed := os.NewFile(4, "failure")
	err := stage()
	exit := protocol.Exit{Code: 126, Exec: err.Error()}
	if errors.Is(err, errStage) || errors.Is(err, errWorkdir) {
		exit.Code = 125
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		exit.Errno = int(errno)
		if errno == unix.ENOENT && exit.Code == 126 {
			exit.Code = 127
		}
	}
	_ = gob.NewEncoder(failed).Encode(exit)
	return exit.Code
}

// errStage marks failures of the stage itself, not of the command.
var errStage = errors.New("prepare the command's process")

// errWorkdir: the working directory can't be entered.
var errWorkdir = errors.New("enter working directory")

func stage() error {
	orders := os.NewFile(3, "orders")
	var s protocol.Stage
	if err := gob.NewDecoder(orders).Decode(&s); err != nil {
		return fmt.Errorf("%w: read orders: %w", errStage, err)
	}
	if err := unix.CloseRange(3, ^uint(0)>>1&0xffffffff, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("%w: close_range: %w", errStage, err)
	}
	if err := giveUp(); err != nil {
		return fmt.Errorf("%w: %w", errStage, err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("%w: setrlimit: %w", errStage, err)
	}
	unix.Umask(0o022)
	if err := unix.Chdir(s.Workdir); err != nil {
		return fmt.Errorf("%w %s: %w", errWorkdir, s.Workdir, err)
	}
	file, err := lookUp(s.Command[0], s.Env)
	if err != nil {
		return err
	}
	err = syscall.Exec(file, s.Command, s.Env)
	return diagnose(file, err)
}

// useless are capabilities that no maintainer script needs in a user namespace which owns no mount, no network and no
// kernel. What stays: CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP (drop
// privileges), NET_BIND_SERVICE and NET_RAW (daemons' self tests), IPC_OWNER, SYS_CHROOT (package tools), SYS_PTRACE
// (strace of own children), SYS_NICE, MKNOD (asked of the broker), LEASE, AUDIT_WRITE, SETFCAP (setcap in postinst).
var useless = []uintptr{
	unix.CAP_LINUX_IMMUTABLE, unix.CAP_NET_BROADCAST, unix.CAP_NET_ADMIN, unix.CAP_IPC_LOCK, unix.CAP_SYS_MODULE,
	unix.CAP_SYS_RAWIO, unix.CAP_SYS_PACCT, unix.CAP_SYS_ADMIN, unix.CAP_SYS_BOOT, unix.CAP_SYS_RESOURCE,
	unix.CAP_SYS_TIME, unix.CAP_SYS_TTY_CONFIG, unix.CAP_AUDIT_CONTROL, unix.CAP_MAC_OVERRIDE, unix.CAP_MAC_ADMIN,
	unix.CAP_SYSLOG, unix.CAP_WAKE_ALARM, unix.CAP_BLOCK_SUSPEND, unix.CAP_AUDIT_READ, unix.CAP_PERFMON, unix.CAP_BPF,
	unix.CAP_CHECKPOINT_RESTORE,
}

// giveUp takes the useless capabilities out of the bounding set, so that the execve loses them for good.
func giveUp() error {
	for _, c := range useless {
		// The process has other threads of the runtime; only the one that executes matters, and execve takes the
		// calling thread's sets. The caller is the locked main thread.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return os.NewSyscallError("drop capability", err)
		}
	}
	return nil
}

// lookUp finds the command as execvp does, inside the root.
func lookUp(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if name == "" {
		return "", &os.PathError{Op: "execute", Path: `""`, Err: unix.ENOENT}
	}
	search := "/usr/sbin:/usr/bin:/sbin:/bin"
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			search = v
		}
	}
	denied := false
	for _, dir := range strings.Split(search, ":") {
		if dir == "" {
			dir = "."
		}
		file := path.Join(dir, name)
		var st unix.Stat_t
		if err := unix.Stat(file, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		if unix.Access(file, unix.X_OK) == nil {
			return file, nil
		}
		denied = true
	}
	if denied {
		return "", &os.PathError{Op: "execute", Path: name, Err: unix.EACCES}
	}
	return "", fmt.Errorf("find %s: not in the PATH of ROOT (%s): %w", name, search, unix.ENOENT)
}
