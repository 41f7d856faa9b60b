// Package seccomp builds and installs the one filter of a run: refusals for every ABI that the kernel serves to this
// CPU's programs (a list for one ABI is bypassed by the other's numbers), and notifications for what the broker
// answers. Refused calls get an error number, never death. It knows nothing of who listens.
package seccomp

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Audit architectures (include/uapi/linux/audit.h).
const (
	auditAMD64 = 0xC000003E
	auditI386  = 0x40000003
	auditARM64 = 0xC00000B7
	auditARM   = 0x40000028
)

// x32Bit marks the calls of the x32 ABI, which shares x86-64's audit architecture.
const x32Bit = 0x40000000

// abi is one system-call interface: how the kernel names it and which column of the tables numbers it.
type abi struct {
	Audit uint32
	x32   bool
	of    func(call) int
}

// abis returns the interfaces of a host CPU, by Go's name.
func abis(goarch string) ([]abi, error) {
	switch goarch {
	case "amd64":
		return []abi{
			{auditAMD64, true, func(c call) int { return c.amd64 }},
			{auditI386, false, func(c call) int { return c.i386 }},
		}, nil
	case "arm64":
		return []abi{
			{auditARM64, false, func(c call) int { return c.arm64 }},
			{auditARM, false, func(c call) int { return c.arm }},
		}, nil
	}
	return nil, fmt.Errorf("no system-call table for host CPU %s", goarch)
}

// classify names the notified call that number nr of the audit architecture is.
func classify(goarch string, audit uint32, nr int32) Call {
	list, _ := abis(goarch)
	for _, a := range list {
		if a.Audit != audit {
			continue
		}
		switch int(nr) {
		case a.of(callPrctl):
			return CallMagic
		case a.of(callExitGroup):
			return CallExitGroup
		case a.of(callUname):
			return CallUname
		case a.of(callMknod):
			return CallMknod
		case a.of(callMknodat):
			return CallMknodat
		case a.of(callSocketcall):
			return CallSocketcall
		}
	}
	return CallUnknown
}

// Filter is the program of a sandbox for a host CPU; magic is the option of prctl(2) that carries requests to the broker.
func Filter(goarch string, magic uint32) ([]unix.SockFilter, error) {
	return assemble(goarch, errno(unix.ENOSYS), func(a abi) program { return a.block(magic) })
}

// assemble puts the blocks of a host CPU's interfaces together; calls of an unknown one get the action given.
func assemble(goarch string, unknown uint32, block func(abi) program) ([]unix.SockFilter, error) {
	list, err := abis(goarch)
	if err != nil {
		return nil, err
	}
	var p program
	p.load(offsetArch)
	for _, a := range list {
		block := block(a)
		// Jump offsets of a comparison have 8 bits; the block is longer, so an unconditional jump leads past it.
		p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 1, 0, a.Audit)
		p.add(unix.BPF_JMP|unix.BPF_JA, 0, 0, uint32(len(block)))
		p = append(p, block...)
	}
	p.ret(unknown)
	return p, nil
}

func (a abi) block(magic uint32) program {
	var p program
	p.load(offsetNr)
	if a.x32 {
		p.add(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, 0, 1, x32Bit)
		p.ret(errno(unix.ENOSYS))
	}
	p.whenArgument(a.of(callPrctl), 0, ^uint32(0), []uint32{magic}, unix.SECCOMP_RET_USER_NOTIF)
	p.when(a.of(callUname), unix.SECCOMP_RET_USER_NOTIF)
	for _, c := range denied {
		p.when(a.of(c), errno(unix.EPERM))
	}
	for _, c := range absent {
		p.when(a.of(c), errno(unix.ENOSYS))
	}
	// Making a device node is asked for; everything else that mknod makes is the kernel's.
	p.whenArgument(a.of(callMknod), 1, 0xB000, []uint32{0x2000}, unix.SECCOMP_RET_USER_NOTIF)
	p.whenArgument(a.of(callMknodat), 2, 0xB000, []uint32{0x2000}, unix.SECCOMP_RET_USER_NOTIF)
	p.whenArgument(a.of(callIoctl), 1, ^uint32(0), deniedIoctls, errno(unix.EPERM))
	p.whenArgument(a.of(callSocketcall), 0, ^uint32(0), []uint32{socketcallSocket}, unix.SECCOMP_RET_USER_NOTIF)
	p.whenArgument(a.of(callSocket), 0, ^uint32(0), deniedFamilies, errno(unix.EAFNOSUPPORT))
	p.ret(unix.SECCOMP_RET_ALLOW)
	return p
}

// socketcallSocket is socketcall(2)'s number for socket(2) (include/uapi/linux/net.h).
const socketcallSocket = 1

// Offsets in struct seccomp_data; the low half of an argument on a little-endian host.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

type program []unix.SockFilter

func (p *program) add(code uint16, jt, jf uint8, k uint32) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (p *program) load(offset uint32) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, offset) }

func (p *program) ret(action uint32) { p.add(unix.BPF_RET|unix.BPF_K, 0, 0, action) }

func errno(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

// when returns action for call number nr, which is in the accumulator.
func (p *program) when(nr int, action uint32) {
	if nr == none {
		return
	}
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, uint32(nr))
	p.ret(action)
}

// whenArgument returns action for call nr when the low 32 bits of argument arg under mask are one of values.
func (p *program) whenArgument(nr, arg int, mask uint32, values []uint32, action uint32) {
	if nr == none {
		return
	}
	var body program
	body.load(uint32(offsetArgs + 8*arg))
	if mask != ^uint32(0) {
		body.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, 0, 0, mask)
	}
	for _, v := range values {
		body.when(int(v), action)
	}
	body.ret(unix.SECCOMP_RET_ALLOW)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, uint8(len(body)), uint32(nr))
	*p = append(*p, body...)
}

// Install puts the filter on the calling thread (lock it first) and returns the listener. The thread needs
// CAP_SYS_ADMIN in its user namespace, since no_new_privs stays off.
func Install(filter []unix.SockFilter) (*os.File, error) {
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(filter)
	if e != 0 {
		return nil, os.NewSyscallError("seccomp", e)
	}
	unix.CloseOnExec(int(fd))
	return os.NewFile(fd, "seccomp listener"), nil
}
