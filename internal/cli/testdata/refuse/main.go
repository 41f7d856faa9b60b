// Command refuse runs a command for which one system call fails, as on an older kernel or in a container:
//
//	refuse NUMBER ERRNO COMMAND [ARG…]
//
// It needs CAP_SYS_ADMIN in its user namespace: with no_new_privs instead, newuidmap would have no rights.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	number, err1 := strconv.ParseUint(os.Args[1], 10, 32)
	errno, err2 := strconv.ParseUint(os.Args[2], 10, 12)
	path, err3 := exec.LookPath(os.Args[3])
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			fail(err)
		}
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(number)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	runtime.LockOSThread()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		fail(err)
	}
	fail(unix.Exec(path, os.Args[3:], os.Environ()))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "refuse:", err)
	os.Exit(99)
}
