package dispatcher

// System-call numbers and the layout of struct stat (in words of 8 bytes) on x86-64.
const (
	sysWrite      = 1
	sysClose      = 3
	sysFstat      = 5
	sysExecve     = 59
	sysFcntl      = 72
	sysGetuid     = 102
	sysGetgid     = 104
	sysGeteuid    = 107
	sysGetegid    = 108
	sysCapget     = 125
	sysCapset     = 126
	sysPrctl      = 157
	sysUnshare    = 272
	sysSetns      = 308
	sysFchdir     = 81
	sysChroot     = 161
	sysExitGroup  = 231
	sysOpenat     = 257
	sysReadlinkat = 267
	sysExecveat   = 322

	statSize  = 6
	statMtime = 11
)

// links is st_nlink.
//
//go:nosplit
func links(st uintptr) uint64 { return uint64(load(st, 2)) }
