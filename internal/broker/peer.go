package broker

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// readString reads a NUL-terminated string of at most limit bytes from a peer's memory.
func readString(pid int, address uint64, limit int) (string, error) {
	buf := make([]byte, limit+1)
	n := 0
	for n < len(buf) {
		// A page at a time: the string may end just before memory that isn't mapped.
		chunk := min(4096-int((address+uint64(n))%4096), len(buf)-n)
		got, err := unix.ProcessVMReadv(pid,
			[]unix.Iovec{{Base: &buf[n], Len: uint64(chunk)}},
			[]unix.RemoteIovec{{Base: uintptr(address) + uintptr(n), Len: chunk}}, 0)
		if err != nil {
			return "", os.NewSyscallError("process_vm_readv", err)
		}
		if end := bytes.IndexByte(buf[n:n+got], 0); end >= 0 {
			return string(buf[:n+end]), nil
		}
		if got < chunk {
			break
		}
		n += got
	}
	return "", unix.ENAMETOOLONG
}

// openMemory opens a peer's memory. Whoever writes there must check after the opening that the request is still valid:
// the descriptor stays with the process, while a number may come to mean another one.
func openMemory(pid int) (*os.File, error) {
	return os.OpenFile("/proc/"+strconv.Itoa(pid)+"/mem", unix.O_RDWR|unix.O_CLOEXEC, 0)
}

// descriptor duplicates a peer's descriptor.
func descriptor(pid, number int) (*os.File, error) {
	p, err := unix.PidfdOpen(pid, 0)
	if err == unix.EINVAL || err == unix.ENOENT {
		// The maker is not its thread group's leader: Linux 6.9's PIDFD_THREAD opens it.
		p, err = unix.PidfdOpen(pid, unix.O_EXCL)
	}
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(p)
	fd, err := unix.PidfdGetfd(p, number, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_getfd", err)
	}
	return os.NewFile(uintptr(fd), "peer's descriptor"), nil
}

// ReadString reads a NUL-terminated string of at most limit bytes from the memory of a process that waits for an answer.
func ReadString(pid int, address uint64, limit int) (string, error) {
	return readString(pid, address, limit)
}

// Descriptor duplicates a descriptor of a process that waits for an answer.
func Descriptor(pid, number int) (*os.File, error) { return descriptor(pid, number) }
