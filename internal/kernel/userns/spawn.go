package userns

import (
	"errors"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Namespaces are all kinds that a run's worker has of its own but for the network.
const Namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Spawn starts this process's own executable again, called name, in new namespaces (CLONE_NEW… flags, NEWUSER among
// them). Its ids aren't mapped yet; the ambient set carries its capabilities over the execve. Files are descriptors 0
// to n; what else this process inherited without CLOEXEC stays behind. It dies with this process.
func Spawn(name string, env []string, flags uintptr, files ...*os.File) (*os.Process, error) {
	return spawn(name, env, flags, true, files)
}

// SpawnInGroup is Spawn in the process group of this process, which is the terminal's foreground one.
func SpawnInGroup(name string, env []string, flags uintptr, files ...*os.File) (*os.Process, error) {
	return spawn(name, env, flags, false, files)
}

func spawn(name string, env []string, flags uintptr, group bool, files []*os.File) (*os.Process, error) {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("close_range", err)
	}
	// PDEATHSIG belongs to the thread: this goroutine keeps it for the process's whole life.
	type started struct {
		process *os.Process
		err     error
	}
	result := make(chan started)
	go func() {
		runtime.LockOSThread()
		p, err := os.StartProcess("/proc/self/exe", []string{name}, &os.ProcAttr{
			Env:   env,
			Files: files,
			Sys:   &syscall.SysProcAttr{Cloneflags: flags, AmbientCaps: allCapabilities(), Pdeathsig: unix.SIGKILL, Setpgid: group},
		})
		result <- started{p, err}
		if err == nil {
			select {}
		}
	}()
	s := <-result
	return s.process, s.err
}

// allCapabilities are the numbers of all that this kernel knows.
func allCapabilities() []uintptr {
	last := 40
	if text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			last = n
		}
	}
	all := make([]uintptr, last+1)
	for i := range all {
		all[i] = uintptr(i)
	}
	return all
}

// Has reports whether this process has the capability (a number of capabilities(7)) in its own user namespace.
func Has(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0
}

// BecomeRoot takes id 0 of the process's own user namespace, once its ids are mapped.
func BecomeRoot() error {
	if err := syscall.Setresgid(0, 0, 0); err != nil {
		return os.NewSyscallError("setresgid", err)
	}
	if err := syscall.Setgroups(nil); err != nil && !errors.Is(err, unix.EPERM) {
		return os.NewSyscallError("setgroups", err)
	}
	if err := syscall.Setresuid(0, 0, 0); err != nil {
		return os.NewSyscallError("setresuid", err)
	}
	return nil
}
