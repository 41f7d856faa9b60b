// Command probe is a program of a builder, or of its root: built for the host's CPU it makes the system calls that a shell
// script can't, and sends requests to crossroot as a hostile program would; built for a foreign CPU, which only an emulator
// can run, it shows where it runs, and mounts.
package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	runtime.LockOSThread()
	args := os.Args[1:]
	switch filepath.Base(os.Args[0]) {
	case "mount": // mount tmpfs DIR
		exit("mount", unix.Mount("probe", args[len(args)-1], "tmpfs", 0, ""))
	case "umount":
		exit("umount", unix.Unmount(args[0], 0))
	}
	verbs := map[string]func([]string) error{
		"hello": hello, "bare": bare, "pivot": pivot, "stderr": stderr, "sync": sync, "hostile": hostile, "threads": threads, "release": release,
	}
	if len(args) == 0 || verbs[args[0]] == nil {
		fmt.Fprintln(os.Stderr, "usage: probe hello|bare|pivot|stderr|sync|hostile|threads|release [ARG…]")
		os.Exit(2)
	}
	exit(args[0], verbs[args[0]](args[1:]))
}

func exit(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "probe: %s: %v\n", what, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func hello([]string) error {
	fmt.Println("hello from", runtime.GOARCH)
	return nil
}

// become is execve with the environment.
func become(args []string) error { return syscall.Exec(args[0], args, os.Environ()) }

// bare executes a program without a single open descriptor.
func bare(args []string) error {
	if err := unix.CloseRange(0, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	return become(args)
}

// stderr executes a program with only standard error open.
func stderr(args []string) error {
	if err := unix.CloseRange(0, 1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	return become(args)
}

// pivot makes a directory the root of a new mount namespace as container tools do, and executes a program there.
func pivot(args []string) error {
	dir := args[0]
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	for _, m := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "") },
		func() error { return unix.Mount(dir, dir, "", unix.MS_BIND|unix.MS_REC, "") },
		func() error { return unix.Chdir(dir) },
		func() error { return unix.PivotRoot(".", ".") },
		func() error { return unix.Unmount(".", unix.MNT_DETACH) },
		func() error { return unix.Chdir("/") },
	} {
		if err := m(); err != nil {
			return err
		}
	}
	return become(args[1:])
}

// sync calls fsync on what has none, and says whether the kernel was asked.
func sync([]string) error {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return err
	}
	switch err := unix.Fsync(int(f.Fd())); err {
	case nil:
		fmt.Println("not asked")
	case unix.EINVAL:
		fmt.Println("asked")
	default:
		return err
	}
	return nil
}

// release tells the CPU's name as uname does for this process.
func release([]string) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	fmt.Println(unix.ByteSliceToString(u.Machine[:]))
	return nil
}

// threads executes a program from a thread that isn't the first one, while others run.
func threads(args []string) error {
	result := make(chan error)
	for range 4 {
		go func() {
			for {
				_ = unix.Getppid()
			}
		}()
	}
	go func() {
		runtime.LockOSThread()
		result <- become(args)
	}()
	return <-result
}
