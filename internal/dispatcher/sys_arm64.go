package dispatcher

// System-call numbers and the layout of struct stat (in words of 8 bytes) on arm64.
const (
	sysFcntl      = 25
	sysOpenat     = 56
	sysClose      = 57
	sysWrite      = 64
	sysReadlinkat = 78
	sysFstat      = 80
	sysCapget     = 90
	sysCapset     = 91
	sysExitGroup  = 94
	sysPrctl      = 167
	sysUnshare    = 97
	sysSetns      = 268
	sysFchdir     = 50
	sysChroot     = 51
	sysGetuid     = 174
	sysGeteuid    = 175
	sysGetgid     = 176
	sysGetegid    = 177
	sysExecve     = 221
	sysExecveat   = 281

	statSize  = 6
	statMtime = 11
)

// links is st_nlink.
//
//go:nosplit
func links(st uintptr) uint64 { return uint64(load(st, 2) >> 32) }
