package dispatcher

import "unsafe"

var capHeader [2]uint32
var capData [6]uint32

// keepFileCapabilities raises what a file capability of the target's executable granted into the inheritable and
// ambient sets: the second execve, of a native program without file capabilities, would lose it. A set-id program
// (real and effective ids differ) needs nothing: its effective id survives by itself.
//
//go:nosplit
func keepFileCapabilities() {
	if syscall6(sysGetuid, 0, 0, 0, 0, 0, 0) != syscall6(sysGeteuid, 0, 0, 0, 0, 0, 0) ||
		syscall6(sysGetgid, 0, 0, 0, 0, 0, 0) != syscall6(sysGetegid, 0, 0, 0, 0, 0, 0) {
		return
	}
	capHeader[0] = 0x20080522 // _LINUX_CAPABILITY_VERSION_3
	capHeader[1] = 0
	header, data := uintptr(unsafe.Pointer(&capHeader)), uintptr(unsafe.Pointer(&capData))
	if syscall6(sysCapget, header, data, 0, 0, 0, 0) != 0 {
		return
	}
	capData[2] |= capData[1] // inheritable |= permitted, low word
	capData[5] |= capData[4] // high word
	if syscall6(sysCapset, header, data, 0, 0, 0, 0) != 0 {
		return
	}
	for c := uintptr(0); c < 64; c++ {
		if capData[1+3*(c/32&1)]&(1<<(c%32)) != 0 {
			syscall6(sysPrctl, 47 /* PR_CAP_AMBIENT */, 2 /* RAISE */, c, 0, 0, 0)
		}
	}
}
