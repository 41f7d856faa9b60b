// Command probe makes system calls from inside a sandbox and prints what the kernel answers, one call a line: "name:
// ERRNO", or "name: ok". It is an executable for the host's own CPU, which a hostile root may contain: what it gets
// away with, any script does.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	probes := map[string]func([]string){
		"mounts": mounts, "fds": fds, "terminal": terminal, "pid1": pid1, "namespaces": namespaces, "open": open, "sockets": sockets, "requests": requests, "give": give,
		"write": write, "sleep": func([]string) { _ = unix.Pause() },
	}
	if len(os.Args) < 2 || probes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: probe mounts|fds|terminal|pid1|namespaces|open|sockets|requests|give FILE|write|sleep [ARG…]")
		os.Exit(2)
	}
	runtime.LockOSThread()
	probes[os.Args[1]](os.Args[2:])
}

func say(name string, err error) {
	switch e, ok := err.(unix.Errno); {
	case err == nil, ok && e == 0:
		fmt.Printf("%s: ok\n", name)
	case ok:
		fmt.Printf("%s: %s\n", name, unix.ErrnoName(e))
	default:
		fmt.Printf("%s: %v\n", name, err)
	}
}

// raw makes a system call and says how it went.
func raw(name string, nr uintptr, args ...uintptr) {
	var a [6]uintptr
	copy(a[:], args)
	_, _, e := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	say(name, e)
}

// text is a C string for raw.
func text(s string) uintptr {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	kept = append(kept, p)
	return uintptr(unsafe.Pointer(p))
}

var kept []*byte // arguments that the collector must not take

// atFdcwd is AT_FDCWD as a raw argument.
var atFdcwd = ^uintptr(99)

// mounts calls the mount family, old and new (C25), with arguments that root would get through with.
func mounts([]string) {
	raw("mount tmpfs", unix.SYS_MOUNT, text("t"), text("/mnt"), text("tmpfs"), 0, 0)
	raw("mount bind", unix.SYS_MOUNT, text("/etc"), text("/mnt"), 0, unix.MS_BIND, 0)
	raw("mount remount", unix.SYS_MOUNT, 0, text("/.cr"), 0, unix.MS_REMOUNT|unix.MS_BIND, 0)
	raw("mount private", unix.SYS_MOUNT, 0, text("/"), 0, unix.MS_PRIVATE|unix.MS_REC, 0)
	raw("mount binfmt_misc", unix.SYS_MOUNT, text("b"), text("/mnt"), text("binfmt_misc"), 0, 0)
	raw("mount proc", unix.SYS_MOUNT, text("p"), text("/mnt"), text("proc"), 0, 0)
	raw("umount2 /.cr", unix.SYS_UMOUNT2, text("/.cr"), unix.MNT_DETACH)
	raw("umount2 /proc", unix.SYS_UMOUNT2, text("/proc"), unix.MNT_DETACH)
	raw("pivot_root", unix.SYS_PIVOT_ROOT, text("/mnt"), text("/mnt"))
	raw("fsopen", unix.SYS_FSOPEN, text("tmpfs"), 0)
	raw("fsconfig", unix.SYS_FSCONFIG, 0, unix.FSCONFIG_CMD_CREATE, 0, 0, 0)
	raw("fsmount", unix.SYS_FSMOUNT, 0, 0, 0)
	raw("fspick", unix.SYS_FSPICK, atFdcwd, text("/"), 0)
	raw("open_tree", unix.SYS_OPEN_TREE, atFdcwd, text("/etc"), unix.OPEN_TREE_CLONE)
	raw("move_mount", unix.SYS_MOVE_MOUNT, atFdcwd, text("/.cr"), atFdcwd, text("/mnt"), 0)
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	raw("mount_setattr", unix.SYS_MOUNT_SETATTR, atFdcwd, text("/.cr"), 0, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(&attr)
}

// requests asks the broker for ever: about one executable after another, for nodes, for the emulator.
func requests([]string) {
	const magic, miss, emulator, locate = 0x43520001, 1, 2, 3 // dispatcher.Magic and its requests
	fd, err := unix.Open("/bin/ls", unix.O_RDWR, 0)
	if err != nil {
		say("open", err)
		return
	}
	name, comm := text("/.cr/armhf/entry"), text("ls")
	for i := 0; ; i++ {
		_ = unix.UtimesNano("/bin/ls", []unix.Timespec{unix.NsecToTimespec(int64(i)), unix.NsecToTimespec(int64(i))})
		_, _, _ = unix.Syscall6(unix.SYS_PRCTL, magic, miss, uintptr(fd), comm, 0, comm)
		_, _, _ = unix.Syscall6(unix.SYS_PRCTL, magic, locate, uintptr(fd), uintptr(i%3), 0, 0)
		_ = unix.Mknod("/tmp/node", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
		_ = unix.Unlink("/tmp/node")
		if got, _, e := unix.Syscall6(unix.SYS_PRCTL, magic, emulator, name, ^uintptr(0), 0, 0); e == 0 {
			_ = unix.Close(int(got))
		}
	}
}

// give sends a descriptor of a new file out by standard input, a socket.
func give(args []string) {
	fd, err := unix.Open(args[0], unix.O_RDWR|unix.O_CREAT, 0o644)
	if err == nil {
		err = unix.Sendmsg(0, []byte("x"), unix.UnixRights(fd), nil, 0)
	}
	say("give", err)
}

// sockets makes a socket of each kind; in the 32-bit probe by socketcall(2), as all of i386's C libraries do.
func sockets([]string) {
	for _, s := range []struct {
		name                   string
		family, kind, protocol int
	}{
		{"unix", unix.AF_UNIX, unix.SOCK_STREAM, 0}, {"inet", unix.AF_INET, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0},
		{"inet6", unix.AF_INET6, unix.SOCK_STREAM, 0}, {"netlink", unix.AF_NETLINK, unix.SOCK_RAW, 0},
		{"raw", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, {"packet", unix.AF_PACKET, unix.SOCK_RAW, 0},
		{"alg", unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, {"vsock", unix.AF_VSOCK, unix.SOCK_STREAM, 0},
	} {
		fd, err := unix.Socket(s.family, s.kind, s.protocol)
		if err == nil {
			flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			if (flags&unix.FD_CLOEXEC != 0) != (s.kind&unix.SOCK_CLOEXEC != 0) {
				fmt.Printf("%s: descriptor flags %#x\n", s.name, flags)
			}
		}
		say(s.name, err)
	}
}

// fds lists the open descriptors, without the one that reads the directory (C31).
func fds([]string) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		say("fds", err)
		return
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		say("fds", err)
		return
	}
	sort.Strings(names)
	for _, n := range names {
		to, err := os.Readlink("/proc/self/fd/" + n)
		if err != nil || to == "/proc/"+strconv.Itoa(os.Getpid())+"/fd" || to == "anon_inode:[eventpoll]" || to == "anon_inode:[eventfd]" {
			continue // the directory itself and the Go runtime's
		}
		fmt.Println(n, to)
	}
}

// terminal tries what injects input into a terminal or changes what it is (C33).
func terminal([]string) {
	c := byte('i')
	raw("TIOCSTI", unix.SYS_IOCTL, 0, unix.TIOCSTI, uintptr(unsafe.Pointer(&c)))
	paste := byte(3)
	raw("TIOCLINUX", unix.SYS_IOCTL, 0, unix.TIOCLINUX, uintptr(unsafe.Pointer(&paste)))
	var discipline int32 = 2 // N_MOUSE
	raw("TIOCSETD", unix.SYS_IOCTL, 0, unix.TIOCSETD, uintptr(unsafe.Pointer(&discipline)))
	if unsafe.Sizeof(uintptr(0)) == 8 {
		// The kernel looks at the low half of the command only; so must the filter.
		high := uint64(1) << 32
		raw("TIOCSTI in 64 bits", unix.SYS_IOCTL, 0, uintptr(unix.TIOCSTI|high), uintptr(unsafe.Pointer(&c)))
	}
	runtime.KeepAlive(&c)
}

// pid1 reaches for the sandbox's first process (C15).
func pid1([]string) {
	for _, name := range []string{"environ", "mem", "maps", "auxv", "stack", "syscall", "io", "personality", "pagemap"} {
		say("read "+name, number(readSome("/proc/1/"+name)))
	}
	for _, name := range []string{"root", "cwd", "exe", "ns/user", "ns/mnt", "fd/0", "fd/2", "fd/3"} {
		_, err := os.Readlink("/proc/1/" + name)
		say("readlink "+name, number(err))
		say("open "+name, number(readSome("/proc/1/"+name)))
	}
	_, err := os.ReadDir("/proc/1/root/")
	say("list root", number(err))
	f, err := os.OpenFile("/proc/1/mem", os.O_WRONLY, 0)
	if err == nil {
		f.Close()
	}
	say("write mem", number(err))
	say("ptrace attach", unix.PtraceAttach(1))
	say("ptrace seize", unix.PtraceSeize(1))
	fd, err := unix.PidfdOpen(1, 0)
	if err == nil {
		_, err = unix.PidfdGetfd(fd, 0, 0)
	}
	say("pidfd_getfd", err)
	raw("process_vm_readv", unix.SYS_PROCESS_VM_READV, 1, 0, 0, 0, 0, 0)
	raw("kcmp", unix.SYS_KCMP, 1, uintptr(os.Getpid()), 0, 0, 0)
	raw("setns", unix.SYS_SETNS, 0, 0)
}

// readSome reads from the start of a file.
func readSome(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 64))
	return err
}

// number digs the error number out.
func number(err error) error {
	switch e := err.(type) {
	case *os.PathError:
		return e.Err
	case *os.SyscallError:
		return e.Err
	}
	return err
}

// namespaces tries to make namespaces, after an attempt to lift the limit (C24). (A process with threads, as this one,
// gets EINVAL for unshare(CLONE_NEWUSER) anywhere; clone is what counts.)
func namespaces([]string) {
	say("raise the limit", number(os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("1000"), 0)))
	for _, n := range []struct {
		name string
		flag int
	}{
		{"mount", unix.CLONE_NEWNS}, {"pid", unix.CLONE_NEWPID}, {"net", unix.CLONE_NEWNET},
		{"ipc", unix.CLONE_NEWIPC}, {"uts", unix.CLONE_NEWUTS}, {"cgroup", unix.CLONE_NEWCGROUP},
	} {
		// In a thread of its own each: what succeeds must not help the next.
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			_, _, e := unix.RawSyscall(unix.SYS_UNSHARE, uintptr(n.flag), 0, 0)
			done <- e
		}()
		say("unshare "+n.name, <-done)
	}
	// A clone needs no stack of its own as long as it doesn't share memory, like fork.
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.CLONE_NEWUSER)|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e == 0 && pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	say("clone user", e)
	var args [11]uint64
	args[0], args[4] = unix.CLONE_NEWUSER, uint64(unix.SIGCHLD)
	pid, _, e = unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	if e == 0 && pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	say("clone3 user", e)
}

// open tries to open files for writing, without creating any (C17).
func open(names []string) {
	for _, name := range names {
		fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		say(name, err)
	}
}

// write writes its last argument to the files before (C19).
func write(args []string) {
	text := args[len(args)-1]
	for _, name := range args[:len(args)-1] {
		say(name, number(writeOnly(name, text)))
	}
}

func writeOnly(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}
