// Package dispatcher is the freestanding handler that the kernel starts at every execution of a foreign executable
// (docs/architecture.md, "Dispatch"). It is entered without the Go runtime: no heap, no goroutine, no map, no string
// building, only raw system calls and static buffers, so that it costs what a C program of its size costs.
//
// It promises to end in an execve of what the exec map names (or of the emulator), with arguments, environment, working
// directory and descriptors unchanged; it knows nothing of policy and asks the broker when the map has no entry.
//
// binfmt_misc starts it (flags POCF) as
//
//	argv[0]  the registered interpreter's name: /.cr/ARCH/entry
//	argv[1]  the executable's path, as the kernel was given it
//	argv[2]  the original argv[0]
//	argv[3:] the original arguments
//
// with AT_EXECFD in the auxiliary vector holding the opened executable.
//
// Executed by its own name, without AT_EXECFD, the same file is the ordinary program: one image serves as dispatcher
// and as the entry for builtins and stubs.
//
// Because every function here runs before the runtime exists, the package must stay free of imports (but unsafe), of
// pointers written to globals (write barriers) and of anything that may grow the stack.
package dispatcher

import "unsafe"

// Magic is the option of prctl(2) that carries requests to the broker: no kernel knows it, the seccomp filter of a run
// turns it into a user notification. Filters that containers put on top allow prctl, unlike calls that don't exist. The
// next argument is one of the Request numbers.
const Magic = 0x43520001

// Requests to the broker.
const (
	// RequestMiss (fd, applet *byte, preload, comm *byte): decide for the executable open at fd, called as applet
	// (NUL-terminated base name, at most 255 bytes), with LD_PRELOAD if preload isn't 0, by a process called comm (at
	// most 15 bytes). Answers 0 when the exec map has an entry now, else an error number.
	RequestMiss = 1
	// RequestEmulator (name *byte, fd): a descriptor of the emulator for this architecture, or an error number. name
	// is the dispatcher's own ("/.cr/ARCH/entry"), fd the executable.
	RequestEmulator = 2
	// RequestLocate (fd, step): there is no hidden directory in this root; attach one. fd is the executable. Answers
	// LocateReady when it is there now, LocateUnshare when the process has to unshare its mount namespace and ask again
	// (step StepUnshared, answered by the executable's descriptor in the new namespace, or StepRefused if it may not),
	// else an error number: emulate by descriptor.
	RequestLocate = 3
	// RequestOutside (what): a descriptor of the builder's mount namespace, of this root in it, of the working directory in
	// it, in this order: the way back for programs that change mounts, when MISS answered EXDEV.
	RequestOutside = 4
	// RequestPresent: answered by Present where a builder is wrapped.
	RequestPresent = 5
)

// Present is the answer to RequestPresent.
const Present = 0x10002

// What RequestOutside asks for.
const (
	OutsideNamespace = 0
	OutsideRoot      = 1
	OutsideDirectory = 2
)

// Steps and answers of RequestLocate.
const (
	StepFirst     = 0
	StepUnshared  = 1
	StepRefused   = 2
	LocateReady   = 0x10000 // no descriptor has such a number
	LocateUnshare = 0x10001
)

// exitCannotRun is the exit code when nothing could be executed; the shell's convention.
const exitCannotRun = 126

const maxPath = 4096

var (
	tls  [256]byte
	stat [256]byte

	// path is where the name to execute is put together: the map's directory, the executable's path, its key.
	path [3*maxPath + 512]byte
	cpu  [64]byte

	procLink = [40]byte{'/', '.', 'c', 'r', '/', 'p', 'r', 'o', 'c', '/', 's', 'e', 'l', 'f', '/', 'f', 'd', '/'}
	logName  = [10]byte{'/', '.', 'c', 'r', '/', 'l', 'o', 'g'}
	cpuFlag  = [5]byte{'-', 'c', 'p', 'u'}
	argFlag  = [3]byte{'-', '0'}
	message  = [...]byte{'c', 'r', 'o', 's', 's', 'r', 'o', 'o', 't', ':', ' ', 'c', 'a', 'n', 'n', 'o', 't', ' ', 'e', 'x', 'e', 'c', 'u', 't', 'e', ' '}
	tail     = [...]byte{':', ' ', 'n', 'o', ' ', 'e', 'm', 'u', 'l', 'a', 't', 'o', 'r', ' ', 'i', 'n', ' ', 'r', 'e', 'a', 'c', 'h', '\n'}
	empty    [1]byte
)

const procLinkLen = 18

// syscall6 is the raw system call; the result is the kernel's (errors as small negative numbers).
//
//go:noescape
func syscall6(nr, a, b, c, d, e, f uintptr) uintptr

// entry is where the kernel starts the copy of our executable (entry_*.s); never called from Go.
func entry()

// entryPoint is the address of entry, laid down by the linker.
var entryPoint uintptr

// Entry returns the virtual address of the freestanding entry in this executable.
func Entry() uintptr { return entryPoint }

// scriptArgument returns the address of the script's path when this looks like the execution of a script by absolute
// path (argv[1], or argv[2] behind one option other than -c), else 0.
//
//go:nosplit
func scriptArgument(argv uintptr, argc int) uintptr {
	if argc < 4 {
		return 0
	}
	a := load(argv, 3)
	if byteAt(a, 0) == '-' && byteAt(a, 1) != 'c' && argc > 4 {
		a = load(argv, 4)
	}
	if byteAt(a, 0) != '/' {
		return 0
	}
	return a
}

// name puts the exec map's name of the executable at fd into path ("/.cr/ARCH/exec" + its path + "/" + its key) and
// returns the length, 0 when the executable has no path in this root.
//
//go:nosplit
func name(self, fd uintptr) int {
	n := 0
	last := 0
	for i := 0; ; i++ {
		b := byteAt(self, i)
		if b == 0 {
			break
		}
		n = put(n, b)
		if b == '/' {
			last = n
		}
	}
	n = last
	n = put(n, 'e')
	n = put(n, 'x')
	n = put(n, 'e')
	n = put(n, 'c')

	d := procLinkLen
	for div := uintptr(100000); div > 0; div /= 10 {
		if (fd >= div || div == 1) && d < len(procLink)-1 {
			poke(uintptr(unsafe.Pointer(&procLink)), d, '0'+byte(fd/div%10))
			d++
		}
	}
	poke(uintptr(unsafe.Pointer(&procLink)), d, 0)
	got := int(syscall6(sysReadlinkat, atFdcwd, uintptr(unsafe.Pointer(&procLink)), uintptr(unsafe.Pointer(&path))+uintptr(n), maxPath, 0, 0))
	if got <= 0 || got >= maxPath || byteAt(uintptr(unsafe.Pointer(&path)), n) != '/' {
		return 0
	}
	n += got
	if int(syscall6(sysFstat, fd, uintptr(unsafe.Pointer(&stat)), 0, 0, 0, 0)) != 0 {
		return 0
	}
	n = put(n, '/')
	st := uintptr(unsafe.Pointer(&stat))
	nameless = links(st) == 0
	n = putDecimal(n, uint64(load(st, statSize)))
	n = put(n, '-')
	n = putDecimal(n, uint64(load(st, statMtime)))
	n = put(n, '-')
	n = putDecimal(n, uint64(load(st, statMtime+1)))
	if n+512 >= len(path) {
		return 0
	}
	end(n)
	return n
}

var preloadName = [12]byte{'L', 'D', '_', 'P', 'R', 'E', 'L', 'O', 'A', 'D', '='}

// preload is 1 when the environment has LD_PRELOAD with a value: libraries that the target's own executable would load
// can't be loaded into a native program, so that the exec map has entries of their own for it, ending in ".p".
var preload uintptr

//go:nosplit
func findPreload(env uintptr) {
	for i := 0; load(env, i) != 0; i++ {
		if e := load(env, i); startsWith(e, uintptr(unsafe.Pointer(&preloadName))) && byteAt(e, len(preloadName)-1) != 0 {
			preload = 1
			return
		}
	}
}

// putPreload appends the mark of entries for LD_PRELOAD, if it is set.
//
//go:nosplit
func putPreload(n int) int {
	if preload != 0 {
		n = put(put(n, '.'), 'p')
	}
	return n
}

// record appends one line "map name TAB applet" to the run's record; a full or missing record is nobody's problem.
//
//go:nosplit
func record(key int, applet uintptr) {
	fd := syscall6(sysOpenat, atFdcwd, uintptr(unsafe.Pointer(&logName)), 0x80401 /* O_WRONLY|O_APPEND|O_CLOEXEC */, 0, 0, 0)
	if int(fd) < 0 {
		return
	}
	n := put(putPreload(key), '\t')
	for i := 0; i < 64 && byteAt(applet, i) != 0; i++ {
		n = put(n, byteAt(applet, i))
	}
	n = put(n, '\n')
	syscall6(sysWrite, fd, uintptr(unsafe.Pointer(&path)), uintptr(n), 0, 0, 0)
	syscall6(sysClose, fd, 0, 0, 0, 0, 0)
	end(key)
}

// appletOf returns the address of a multi-call program's applet: the base name that it was called by, or argv[1] when
// that is the executable's own base name (as in "busybox ls"; a link called ls says the applet itself).
//
//go:nosplit
func appletOf(argv uintptr, argc, key int) uintptr {
	called := baseName(load(argv, 2))
	if argc > 3 && ownName(called, key) && byteAt(load(argv, 3), 0) != '-' && byteAt(load(argv, 3), 0) != 0 {
		first := load(argv, 3)
		if baseName(first) == first {
			return first
		}
	}
	return called
}

// ownName reports whether the string at p is the base name of the executable itself: in path[:key], the exec map's
// name, the last component but one.
//
//go:nosplit
func ownName(p uintptr, key int) bool {
	name := uintptr(unsafe.Pointer(&path))
	stop := key - 1
	for stop > 0 && byteAt(name, stop) != '/' {
		stop--
	}
	start := stop
	for start > 0 && byteAt(name, start-1) != '/' {
		start--
	}
	i := 0
	for start+i < stop && byteAt(p, i) == byteAt(name, start+i) {
		i++
	}
	return start+i == stop && byteAt(p, i) == 0
}

// dispatch tries the exec map's entries for this executable; it returns when there is none.
//
//go:nosplit
func dispatch(argv uintptr, argc int, env uintptr, key int) {
	native := argv + 16
	if script := scriptArgument(argv, argc); script != 0 {
		n := putString(put(put(key, '.'), 'i'), script)
		end(n)
		if n < len(path) {
			syscall6(sysExecve, uintptr(unsafe.Pointer(&path)), native, env, 0, 0, 0)
			// A row for all scripts of a directory is an entry called "*".
			end(put(n-length(lastSlash(script)), '*'))
			syscall6(sysExecve, uintptr(unsafe.Pointer(&path)), native, env, 0, 0, 0)
		}
	}
	tryBoth(argv, env, key)
	n := put(key, '.')
	n = put(n, 'm')
	n = put(n, '/')
	n = putString(n, appletOf(argv, argc, key))
	if n+32 < len(path) {
		tryBoth(argv, env, n)
	}
	end(key)
}

// comm is this process's name (comm of proc(5)), which the kernel took from the file that was executed: a link, or a
// script. It is the last component of every entry of the exec map, so that the kernel gives the next program the same.
var comm [17]byte

// putComm appends "/" and comm, and terminates path.
//
//go:nosplit
func putComm(n int) { end(putString(put(n, '/'), uintptr(unsafe.Pointer(&comm)))) }

// tryBoth executes path[:n]+"/"+comm as a native program, then path[:n]+".e/"+comm as a wish for emulation.
//
//go:nosplit
func tryBoth(argv, env uintptr, n int) {
	n = putPreload(n)
	if uint(n)+32 > uint(len(path)) {
		return
	}
	putComm(n)
	syscall6(sysExecve, uintptr(unsafe.Pointer(&path)), argv+16, env, 0, 0, 0)
	putComm(put(put(n, '.'), 'e'))
	// The entry is a symlink to the emulator: executing it with the emulator's arguments is the emulation.
	readModel(load(argv, 0))
	chooseName(load(argv, 1))
	vector := emulation(argv)
	syscall6(sysExecve, uintptr(unsafe.Pointer(&path)), vector, env, 0, 0, 0)
	restore(argv)
	end(n)
}

// fail says what could not be executed and ends the process.
//
//go:nosplit
func fail(argv uintptr, argc int) {
	syscall6(sysWrite, 2, uintptr(unsafe.Pointer(&message)), uintptr(len(message)), 0, 0, 0)
	if argc > 1 {
		p := load(argv, 1)
		n := 0
		for n < maxPath && byteAt(p, n) != 0 {
			n++
		}
		syscall6(sysWrite, 2, p, uintptr(n), 0, 0, 0)
	}
	syscall6(sysWrite, 2, uintptr(unsafe.Pointer(&tail)), uintptr(len(tail)), 0, 0, 0)
	for {
		syscall6(sysExitGroup, exitCannotRun, 0, 0, 0, 0, 0)
	}
}
