package seccomp

// call is one system call by name with its number in each ABI that a host kernel serves; none where it is missing.
type call struct {
	name               string
	amd64, i386, arm64 int
	arm                int
}

const none = -1

// denied are the calls that a script has no business with, besides what its user namespace refuses already: the mount
// family (C25 of the threat catalogue), the kernel's modules and memory, keys, clocks, other processes' memory.
// Numbers: arch/x86/entry/syscalls/syscall_{64,32}.tbl, include/uapi/asm-generic/unistd.h, arch/arm/tools/syscall.tbl.
var denied = []call{
	{"mount", 165, 21, 40, 21},
	{"umount2", 166, 52, 39, 52},
	{"umount", none, 22, none, none},
	{"pivot_root", 155, 217, 41, 218},
	{"open_tree", 428, 428, 428, 428},
	{"move_mount", 429, 429, 429, 429},
	{"fsopen", 430, 430, 430, 430},
	{"fsconfig", 431, 431, 431, 431},
	{"fsmount", 432, 432, 432, 432},
	{"fspick", 433, 433, 433, 433},
	{"mount_setattr", 442, 442, 442, 442},
	{"open_tree_attr", 467, 467, 467, 467},
	{"setns", 308, 346, 268, 375},
	{"kexec_load", 246, 283, 104, 347},
	{"kexec_file_load", 320, none, 294, 401},
	{"init_module", 175, 128, 105, 128},
	{"finit_module", 313, 350, 273, 379},
	{"delete_module", 176, 129, 106, 129},
	{"bpf", 321, 357, 280, 386},
	{"perf_event_open", 298, 336, 241, 364},
	{"userfaultfd", 323, 374, 282, 388},
	{"add_key", 248, 286, 217, 309},
	{"request_key", 249, 287, 218, 310},
	{"keyctl", 250, 288, 219, 311},
	{"open_by_handle_at", 304, 342, 265, 371},
	{"fanotify_init", 300, 338, 262, 367},
	{"quotactl", 179, 131, 60, 131},
	{"quotactl_fd", 443, 443, 443, 443},
	{"acct", 163, 51, 89, 51},
	{"swapon", 167, 87, 224, 87},
	{"swapoff", 168, 115, 225, 115},
	{"settimeofday", 164, 79, 170, 79},
	{"stime", none, 25, none, none},
	{"clock_settime", 227, 264, 112, 262},
	{"clock_settime64", none, 404, none, 404},
	{"adjtimex", 159, 124, 171, 124},
	{"clock_adjtime", 305, 343, 266, 372},
	{"clock_adjtime64", none, 405, none, 405},
	{"syslog", 103, 103, 116, 103},
	{"kcmp", 312, 349, 272, 378},
	{"process_vm_readv", 310, 347, 270, 376},
	{"process_vm_writev", 311, 348, 271, 377},
	{"iopl", 172, 110, none, none},
	{"ioperm", 173, 101, none, none},
	{"reboot", 169, 88, 142, 88},
	{"vhangup", 153, 111, 58, 111},
}

// absent are calls answered as by a kernel that doesn't have them, so that programs fall back.
var absent = []call{
	{"io_uring_setup", 425, 425, 425, 425},
	{"io_uring_enter", 426, 426, 426, 426},
	{"io_uring_register", 427, 427, 427, 427},
	{"vm86", none, 166, none, none},
	{"vm86old", none, 113, none, none},
}

// Calls that the broker answers.
var (
	callPrctl     = call{"prctl", 157, 172, 167, 172}
	callExitGroup = call{"exit_group", 231, 252, 94, 248}
	callUname     = call{"uname", 63, 122, 160, 122}
	callMknod     = call{"mknod", 133, 14, none, 14}
	callMknodat   = call{"mknodat", 259, 297, 33, 324}
	callIoctl     = call{"ioctl", 16, 54, 29, 54}
	callSocket    = call{"socket", 41, 359, 198, 281}
	// i386's C libraries make sockets by it, with the family in memory, where no filter sees it.
	callSocketcall = call{"socketcall", none, 102, none, none}
)

// ioctls that inject input into a terminal or change what it is.
var deniedIoctls = []uint32{0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */, 0x5423 /* TIOCSETD */}

// deniedFamilies are socket families that reach past every namespace: AF_ALG, AF_VSOCK.
var deniedFamilies = []uint32{38, 40}
