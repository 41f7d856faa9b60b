package broker

import (
	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/seccomp"
)

// uname answers uname(2) with the target CPU's name; all the rest is the kernel's own answer. The worker shares the
// run's uts namespace, so that the node name is right.
func (b *Broker) uname(r seccomp.Request) { AnswerUname(b.listener, r, b.Target.Uname) }

// AnswerUname answers uname(2) with the kernel's answer but for the machine.
func AnswerUname(l *seccomp.Listener, r seccomp.Request, machine string) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		_ = l.Answer(r.ID, 0, unix.EFAULT)
		return
	}
	clear(u.Machine[:])
	copy(u.Machine[:len(u.Machine)-1], machine)
	const field = len(u.Machine) // 65 bytes; the struct has six of them
	out := make([]byte, 0, 6*field)
	for _, f := range [][]byte{u.Sysname[:], u.Nodename[:], u.Release[:], u.Version[:], u.Machine[:], u.Domainname[:]} {
		out = append(out, f...)
	}
	memory, err := openMemory(r.PID)
	if err != nil {
		_ = l.Answer(r.ID, 0, unix.EFAULT)
		return
	}
	defer memory.Close()
	if !l.Valid(r.ID) {
		return
	}
	if _, err := memory.WriteAt(out, int64(r.Args[0])); err != nil {
		_ = l.Answer(r.ID, 0, unix.EFAULT)
		return
	}
	_ = l.Answer(r.ID, 0, 0)
}
