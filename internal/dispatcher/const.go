package dispatcher

// atFdcwd is AT_FDCWD (-100) as a system-call argument.
const atFdcwd = ^uintptr(99)
