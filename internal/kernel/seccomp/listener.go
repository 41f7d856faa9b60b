package seccomp

import (
	"errors"
	"io"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Call is which of the notified calls a request is.
type Call int

// The notified calls.
const (
	CallUnknown Call = iota
	CallMagic
	CallUname
	CallMknod
	CallMknodat
	CallSocketcall // socket(2) by socketcall(2)
	CallExitGroup
)

// Request is one notified system call; its maker waits for the answer. What Args hold is the maker's claim; those of
// CallMagic begin behind the magic one.
type Request struct {
	ID   uint64
	PID  int // in the reader's pid namespace
	Call Call
	Args [6]uint64
}

// notif is struct seccomp_notif.
type notif struct {
	ID    uint64
	PID   uint32
	Flags uint32
	Nr    int32
	Arch  uint32
	IP    uint64
	Args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	ID    uint64
	Val   int64
	Error int32
	Flags uint32
}

// addfd is struct seccomp_notif_addfd.
type addfd struct {
	ID         uint64
	Flags      uint32
	SrcFD      uint32
	NewFD      uint32
	NewFDFlags uint32
}

// ioctl numbers (include/uapi/linux/seccomp.h).
const (
	ioctlReceive = 0xc0502100
	ioctlSend    = 0xc0182101
	ioctlIDValid = 0x40082102
	ioctlAddFD   = 0x40182103
)

// Listener reads requests and answers them.
type Listener struct {
	file *os.File
	fd   uintptr
}

// NewListener takes the descriptor that Install returned.
func NewListener(file *os.File) *Listener {
	return &Listener{file: file, fd: file.Fd()}
}

// Close ends the listener: calls that are still made get ENOSYS.
func (l *Listener) Close() error { return l.file.Close() }

// Receive waits for the next request; io.EOF when no process with the filter is left.
func (l *Listener) Receive() (Request, error) {
	for {
		fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return Request{}, os.NewSyscallError("poll", err)
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			if fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
				return Request{}, io.EOF
			}
			continue
		}
		var n notif
		if e := l.ioctl(ioctlReceive, unsafe.Pointer(&n)); e != 0 {
			if e == unix.EINTR || e == unix.ENOENT { // the maker was killed meanwhile
				continue
			}
			return Request{}, os.NewSyscallError("receive notification", e)
		}
		r := Request{ID: n.ID, PID: int(n.PID), Call: classify(runtime.GOARCH, n.Arch, n.Nr), Args: n.Args}
		if r.Call == CallMagic {
			copy(r.Args[:], n.Args[1:])
		}
		return r, nil
	}
}

// Valid reports whether the request's maker still waits, so that its pid means what it meant.
func (l *Listener) Valid(id uint64) bool {
	return l.ioctl(ioctlIDValid, unsafe.Pointer(&id)) == 0
}

// Answer returns value, or the error number when it isn't 0, to the maker. An error means that it is gone.
func (l *Listener) Answer(id uint64, value int64, errno unix.Errno) error {
	r := response{ID: id, Val: value, Error: -int32(errno)}
	if e := l.ioctl(ioctlSend, unsafe.Pointer(&r)); e != 0 {
		return os.NewSyscallError("answer notification", e)
	}
	return nil
}

// Continue lets the kernel carry the call out as if there were no filter. The maker's memory may change meanwhile: it
// must not be the answer to a check of what a pointer leads to (SECCOMP_USER_NOTIF_FLAG_CONTINUE of seccomp(2)).
func (l *Listener) Continue(id uint64) error {
	r := response{ID: id, Flags: 1}
	if e := l.ioctl(ioctlSend, unsafe.Pointer(&r)); e != 0 {
		return os.NewSyscallError("continue notified call", e)
	}
	return nil
}

// AnswerFD gives the maker a copy of the descriptor as the call's result; flags are O_CLOEXEC or 0.
func (l *Listener) AnswerFD(id uint64, f *os.File, flags uint32) error {
	a := addfd{ID: id, Flags: unix.SECCOMP_ADDFD_FLAG_SEND, SrcFD: uint32(f.Fd()), NewFDFlags: flags}
	if e := l.ioctl(ioctlAddFD, unsafe.Pointer(&a)); e != 0 {
		_ = l.Answer(id, 0, e) // whoever waits must not wait for ever
		return os.NewSyscallError("hand over descriptor", e)
	}
	return nil
}

func (l *Listener) ioctl(request uintptr, p unsafe.Pointer) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, l.fd, request, uintptr(p))
	return e
}
