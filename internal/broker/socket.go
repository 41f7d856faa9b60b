package broker

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/seccomp"
)

// socket answers socket(2) made by i386's socketcall(2), whose arguments lie in memory, so that the filter can't keep
// the families out that reach past every namespace. The socket is made here, in the run's network namespace, and given
// away; the worker has rights in that namespace which the peer has not, so only kinds that need none are made.
func (b *Broker) socket(r seccomp.Request) {
	family, kind, protocol, err := socketArguments(r.PID, r.Args[1])
	if err != nil {
		_ = b.listener.Answer(r.ID, 0, unix.EFAULT)
		return
	}
	if !b.listener.Valid(r.ID) {
		return
	}
	const flags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	if errno := mayMake(family, kind&^flags); errno != 0 {
		_ = b.listener.Answer(r.ID, 0, errno)
		return
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		_ = b.listener.Answer(r.ID, 0, number(err))
		return
	}
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	if b.listener.AnswerFD(r.ID, f, uint32(kind&unix.SOCK_CLOEXEC)) != nil {
		_ = b.listener.Answer(r.ID, 0, unix.EMFILE)
	}
}

// mayMake says why a socket isn't made for a peer, 0 if it is.
func mayMake(family, kind int) unix.Errno {
	switch family {
	case unix.AF_UNIX, unix.AF_INET, unix.AF_INET6:
		if kind == unix.SOCK_STREAM || kind == unix.SOCK_DGRAM || kind == unix.SOCK_SEQPACKET {
			return 0
		}
		return unix.EPERM
	case unix.AF_NETLINK:
		return 0 // its rights are those of whoever sends
	case unix.AF_PACKET:
		return unix.EPERM
	}
	return unix.EAFNOSUPPORT
}

// socketArguments reads the three words that a 32-bit socketcall points at.
func socketArguments(pid int, address uint64) (family, kind, protocol int, err error) {
	var buf [12]byte
	n, err := unix.ProcessVMReadv(pid, []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}},
		[]unix.RemoteIovec{{Base: uintptr(uint32(address)), Len: len(buf)}}, 0)
	if err != nil {
		return 0, 0, 0, os.NewSyscallError("process_vm_readv", err)
	}
	if n != len(buf) {
		return 0, 0, 0, unix.EFAULT
	}
	word := func(i int) int { return int(int32(binary.LittleEndian.Uint32(buf[4*i:]))) }
	return word(0), word(1), word(2), nil
}
