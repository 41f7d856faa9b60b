package toolroot

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// access is a path that a program named to the kernel.
type access struct{ Call, Path string }

// pathCalls are the calls with a path, and which argument it is. What only
// amd64 has is in legacyCalls.
var pathCalls = map[uint64]struct {
	name     string
	argument int
}{
	unix.SYS_OPENAT: {"openat", 1}, unix.SYS_OPENAT2: {"openat2", 1}, unix.SYS_EXECVE: {"execve", 0},
	unix.SYS_EXECVEAT: {"execveat", 1}, unix.SYS_FACCESSAT: {"faccessat", 1}, unix.SYS_FACCESSAT2: {"faccessat2", 1},
	unix.SYS_READLINKAT: {"readlinkat", 1}, unix.SYS_STATX: {"statx", 1}, fstatat: {"fstatat", 1},
}

// legacyCalls have the path first: open, stat, lstat, access, readlink (amd64).
var legacyCalls = map[uint64]string{2: "open", 4: "stat", 6: "lstat", 21: "access", 89: "readlink"}

const fstatat = 262 // amd64; arm64 has 79

// syscallInfo is struct ptrace_syscall_info of <linux/ptrace.h> at entry.
type syscallInfo struct {
	op     uint8
	_      [3]uint8
	arch   uint32
	ip, sp uint64
	nr     uint64
	args   [6]uint64
}

const tracedTime = 4 * time.Second // for one command

// traced runs a command and its children under ptrace and notes each path.
func traced(argv []string) ran {
	done := make(chan ran)
	go func() {
		runtime.LockOSThread() // ptrace belongs to a thread
		done <- tracedHere(argv)
	}()
	return <-done
}

func tracedHere(argv []string) (r ran) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=/.cr/bin:/.cr/sbin", "LC_ALL=C.UTF-8", "HOME=/root", "TERM=dumb", "SYSTEMD_OFFLINE=1", "SYSTEMD_PAGER=cat", "PAGER=cat"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setsid: true}
	out, err := os.CreateTemp("/tmp", "")
	if err != nil {
		return ran{Error: err.Error()}
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return ran{Error: err.Error()}
	}
	t := tracer{inCall: map[int]bool{}}
	r.Error = t.follow(cmd.Process.Pid)
	r.Paths = t.paths
	if text, err := os.ReadFile(out.Name()); err == nil {
		r.Output = string(bytes.ToValidUTF8(text[:min(len(text), 4096)], []byte("?")))
	}
	return r
}

type tracer struct {
	paths  []access
	inCall map[int]bool
}

// follow waits for the end of pid, the first process.
func (t *tracer) follow(first int) (failure string) {
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
		unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL
	var status unix.WaitStatus
	if _, err := unix.Wait4(first, &status, unix.WALL, nil); err != nil {
		return err.Error()
	}
	if err := unix.PtraceSetOptions(first, options); err != nil {
		return err.Error()
	}
	_ = unix.PtraceSyscall(first, 0)
	end := time.AfterFunc(tracedTime, func() { _ = unix.Kill(-1, unix.SIGKILL) }) // we are pid 1 of a namespace
	defer end.Stop()
	for {
		pid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil: // no children are left
			return failure
		case status.Exited() || status.Signaled():
			if pid == first && status.Signaled() {
				failure = "killed by " + status.Signal().String()
			} else if pid == first && status.ExitStatus() != 0 {
				failure = fmt.Sprintf("exit status %d", status.ExitStatus())
			}
			continue
		case status.Stopped():
			_ = unix.PtraceSyscall(pid, t.stopped(pid, status))
		}
	}
}

// stopped looks at a stop and gives the signal to deliver.
func (t *tracer) stopped(pid int, status unix.WaitStatus) (signal int) {
	switch sig := status.StopSignal(); {
	case sig == unix.SIGTRAP|0x80:
		t.call(pid)
		return 0
	case sig == unix.SIGTRAP, sig == unix.SIGSTOP, sig == unix.SIGTTIN, sig == unix.SIGTTOU, sig == unix.SIGTSTP:
		return 0
	default:
		return int(sig)
	}
}

func (t *tracer) call(pid int) {
	var info syscallInfo
	const getSyscallInfo, entry = 0x420e, 1
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(pid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 || info.op != entry {
		return
	}
	c, ok := pathCalls[info.nr]
	if !ok {
		if c.name, ok = legacyCalls[info.nr]; !ok {
			return
		}
	}
	if text := readString(pid, info.args[c.argument]); text != "" {
		t.paths = append(t.paths, access{c.name, text})
	}
}

// readString reads a path from the memory of another process.
func readString(pid int, at uint64) string {
	var buf [unix.PathMax]byte
	n := 0
	for n < len(buf) { // not over the end of a page that has no successor
		chunk := min(len(buf)-n, 4096-int((at+uint64(n))%4096))
		local := []unix.Iovec{{Base: &buf[n], Len: uint64(chunk)}}
		remote := []unix.RemoteIovec{{Base: uintptr(at) + uintptr(n), Len: chunk}}
		got, err := unix.ProcessVMReadv(pid, local, remote, 0)
		if err != nil || got <= 0 {
			break
		}
		n += got
		if i := bytes.IndexByte(buf[:n], 0); i >= 0 {
			return strings.ToValidUTF8(string(buf[:i]), "?")
		}
	}
	return ""
}
