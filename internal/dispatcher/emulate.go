package dispatcher

import "unsafe"

// start dispatches, and returns only when it wasn't binfmt_misc that started the process. It is called by entry with the address of the initial stack: argc, argv, NULL, envp, NULL, auxv.
//
//go:nosplit
func start(sp uintptr) {
	argc := int(load(sp, 0))
	argv := sp + 8
	env := argv + uintptr(argc+1)*8
	aux := env
	for load(aux, 0) != 0 {
		aux += 8
	}
	aux += 8
	var fd uintptr
	var given, secure bool
	for ; load(aux, 0) != 0; aux += 16 {
		switch load(aux, 0) {
		case 2: // AT_EXECFD
			fd, given = load(aux, 1), true // 0 where standard input was closed
		case 23: // AT_SECURE
			secure = load(aux, 1) != 0
		}
	}
	if !given {
		holdStreams()
		return // executed by its own name: entry goes on as the ordinary program
	}
	if argc < 3 {
		fail(argv, argc)
	}
	if secure {
		keepFileCapabilities()
	}
	syscall6(sysFcntl, fd, 2 /* F_SETFD */, 1 /* FD_CLOEXEC */, 0, 0, 0)

	key := name(load(argv, 0), fd)
	if key == 0 {
		if got := locate(fd); got != 0 {
			if got < LocateReady {
				fd = got
			}
			key = name(load(argv, 0), fd)
		}
	}
	execFD = fd
	findPreload(env)
	syscall6(sysPrctl, 16 /* PR_GET_NAME */, uintptr(unsafe.Pointer(&comm)), 0, 0, 0, 0)
	if key > 0 {
		applet := appletOf(argv, argc, key)
		record(key, applet)
		dispatch(argv, argc, env, key)
		switch int(syscall6(sysPrctl, Magic, RequestMiss, fd, applet, preload, uintptr(unsafe.Pointer(&comm)))) {
		case 0:
			dispatch(argv, argc, env, key)
		case -18: // EXDEV
			goOutside()
		}
	}
	emulateByDescriptor(argv, env)
	fail(argv, argc)
}

// holdStreams gives numbers to standard streams that are closed: the Go runtime insists on them and would die where there
// is no /dev/null. What reads or writes them gets EBADF, as of closed ones; programs that are executed find them closed.
//
//go:nosplit
func holdStreams() {
	for i := uintptr(0); i < 3; i++ {
		if int(syscall6(sysFcntl, i, 1 /* F_GETFD */, 0, 0, 0, 0)) < 0 {
			syscall6(sysOpenat, atFdcwd, uintptr(unsafe.Pointer(&slash)), 0x280000 /* O_PATH|O_CLOEXEC */, 0, 0, 0)
		}
	}
}

var slash = [2]byte{'/'}

// locate asks the broker for a hidden directory in this process's root, which has none: the first dispatch in a root
// that a builder made. It is attached in a mount namespace of this process's own where possible, so that nobody else
// sees it; then the result is the executable's descriptor there. 0: nothing could be attached.
//
//go:nosplit
func locate(fd uintptr) uintptr {
	r := syscall6(sysPrctl, Magic, RequestLocate, fd, StepFirst, 0, 0)
	if r == LocateUnshare {
		step := uintptr(StepUnshared)
		if syscall6(sysUnshare, 0x20000 /* CLONE_NEWNS */, 0, 0, 0, 0, 0) != 0 {
			step = StepRefused
		}
		r = syscall6(sysPrctl, Magic, RequestLocate, fd, step, 0, 0)
		if int(r) == 0 { // the descriptor's number: standard input was closed
			r = syscall6(sysFcntl, 0, 1030 /* F_DUPFD_CLOEXEC */, 3, 0, 0, 0)
			syscall6(sysClose, 0, 0, 0, 0, 0, 0)
		}
	}
	if int(r) < 0 {
		return 0
	}
	return r
}

// goOutside leaves the mount namespace that was made for this root's hidden directory.
//
//go:nosplit
func goOutside() {
	ns := syscall6(sysPrctl, Magic, RequestOutside, OutsideNamespace, 0, 0, 0)
	root := syscall6(sysPrctl, Magic, RequestOutside, OutsideRoot, 0, 0, 0)
	dir := syscall6(sysPrctl, Magic, RequestOutside, OutsideDirectory, 0, 0, 0)
	if int(ns) < 0 || int(root) < 0 || int(dir) < 0 || syscall6(sysSetns, ns, 0x20000 /* CLONE_NEWNS */, 0, 0, 0, 0) != 0 {
		return
	}
	if syscall6(sysFchdir, root, 0, 0, 0, 0, 0) != 0 || syscall6(sysChroot, uintptr(unsafe.Pointer(&dot)), 0, 0, 0, 0, 0) != 0 {
		return
	}
	syscall6(sysFchdir, dir, 0, 0, 0, 0, 0)
}

var dot = [2]byte{'.'}

// emulation lays the emulator's arguments in front of argv[3:], over argc and the words below it, which entry left
// free: emulator, [-cpu, model,] -0, the original argv[0], the executable's path. It returns the vector's address.
//
//go:nosplit
func emulation(argv uintptr) uintptr {
	self, file, arg0 := load(argv, 0), load(argv, 1), load(argv, 2)
	savedSelf, savedFile, savedArg0 = self, file, arg0
	store(argv, 2, emulated)
	store(argv, 1, arg0)
	store(argv, 0, uintptr(unsafe.Pointer(&argFlag)))
	vector := argv - 8
	if cpu[0] != 0 {
		store(vector, 0, uintptr(unsafe.Pointer(&cpu)))
		store(vector, -1, uintptr(unsafe.Pointer(&cpuFlag)))
		vector -= 16
	}
	store(vector, 0, self)
	return vector
}

// The words of the vector that emulation overwrites; uintptrs, so that no write barrier is needed.
var savedSelf, savedFile, savedArg0 uintptr

//go:nosplit
func restore(argv uintptr) {
	store(argv, 0, savedSelf)
	store(argv, 1, savedFile)
	store(argv, 2, savedArg0)
}

// The executable's descriptor, and whether the file has no name any more (deleted, memfd).
var (
	execFD   uintptr
	emulated uintptr
	nameless bool
)

// chooseName puts the name that the emulator opens into emulated: the one that was executed or, where that leads nowhere (or to a
// descriptor which this execve closes), the descriptor's own in the private proc, which then stays open.
//
//go:nosplit
func chooseName(given uintptr) {
	emulated = given
	if !nameless && !startsWith(given, uintptr(unsafe.Pointer(&procName))) && !startsWith(given, uintptr(unsafe.Pointer(&devName))) {
		return
	}
	syscall6(sysFcntl, execFD, 2 /* F_SETFD */, 0, 0, 0, 0)
	emulated = uintptr(unsafe.Pointer(&procLink))
}

var (
	procName = [7]byte{'/', 'p', 'r', 'o', 'c', '/'}
	devName  = [9]byte{'/', 'd', 'e', 'v', '/', 'f', 'd', '/'}
)

// readModel reads the CPU model for the emulator into cpu: the text of the symlink "cpu" beside the dispatcher.
//
//go:nosplit
func readModel(self uintptr) {
	// The name is put together in stat, which is not needed any more once the key is known.
	name := uintptr(unsafe.Pointer(&stat))
	last := 0
	for i := 0; i < len(stat)-8 && byteAt(self, i) != 0; i++ {
		poke(name, i, byteAt(self, i))
		if byteAt(self, i) == '/' {
			last = i + 1
		}
	}
	poke(name, last, 'c')
	poke(name, last+1, 'p')
	poke(name, last+2, 'u')
	poke(name, last+3, 0)
	got := int(syscall6(sysReadlinkat, atFdcwd, uintptr(unsafe.Pointer(&stat)), uintptr(unsafe.Pointer(&cpu)), uintptr(len(cpu)-1), 0, 0))
	if got <= 0 || got >= len(cpu) {
		got = 0
	}
	poke(uintptr(unsafe.Pointer(&cpu)), got, 0)
}

// emulateByDescriptor asks the broker for the emulator's descriptor: the way for roots without the hidden directory
// (a nested chroot) and for executables without a name.
//
//go:nosplit
func emulateByDescriptor(argv, env uintptr) {
	fd := syscall6(sysPrctl, Magic, RequestEmulator, load(argv, 0), execFD, 0, 0)
	if int(fd) < 0 {
		return
	}
	readModel(load(argv, 0))
	chooseName(load(argv, 1))
	vector := emulation(argv)
	syscall6(sysExecveat, fd, uintptr(unsafe.Pointer(&empty)), vector, env, 0x1000 /* AT_EMPTY_PATH */, 0)
	restore(argv)
}
