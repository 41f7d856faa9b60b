package dispatcher

import "unsafe"

// at is the address p as a pointer: the words and strings that the kernel laid on the stack are no Go objects.
//
//go:nosplit
func at(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

//go:nosplit
func load(p uintptr, i int) uintptr { return *(*uintptr)(at(p + uintptr(i)*8)) }

//go:nosplit
func store(p uintptr, i int, v uintptr) { *(*uintptr)(at(p + uintptr(i)*8)) = v }

// poke writes a byte without a bounds check (whose panic would not fit on the budget of nosplit stack).
//
//go:nosplit
func poke(p uintptr, i int, b byte) { *(*byte)(at(p + uintptr(i))) = b }

//go:nosplit
func byteAt(p uintptr, i int) byte { return *(*byte)(at(p + uintptr(i))) }

// put writes one byte of path and returns the next index; past the end it only counts.
//
//go:nosplit
func put(n int, b byte) int {
	if uint(n) < uint(len(path)) {
		path[n] = b
	}
	return n + 1
}

// end terminates path after n bytes.
//
//go:nosplit
func end(n int) { put(n, 0) }

// putString appends the NUL-terminated string at p.
//
//go:nosplit
func putString(n int, p uintptr) int {
	for i := 0; ; i++ {
		b := byteAt(p, i)
		if b == 0 {
			return n
		}
		n = put(n, b)
	}
}

// putDecimal appends v in decimal.
//
//go:nosplit
func putDecimal(n int, v uint64) int {
	div := uint64(1)
	for v/div >= 10 {
		div *= 10
	}
	for ; div > 0; div /= 10 {
		n = put(n, '0'+byte(v/div%10))
	}
	return n
}

// length is the number of bytes before the NUL.
//
//go:nosplit
func length(p uintptr) int {
	n := 0
	for byteAt(p, n) != 0 {
		n++
	}
	return n
}

// lastSlash returns the address behind the last slash of the string at p.
//
//go:nosplit
func lastSlash(p uintptr) uintptr {
	base := p
	for i := 0; byteAt(p, i) != 0; i++ {
		if byteAt(p, i) == '/' {
			base = p + uintptr(i) + 1
		}
	}
	return base
}

// baseName returns the address of what follows the last slash of the string at p, without a login shell's dash.
//
//go:nosplit
func baseName(p uintptr) uintptr {
	base := lastSlash(p)
	if byteAt(base, 0) == '-' {
		base++
	}
	return base
}

// startsWith reports whether the string at p begins with the one at prefix.
//
//go:nosplit
func startsWith(p, prefix uintptr) bool {
	for i := 0; byteAt(prefix, i) != 0; i++ {
		if byteAt(p, i) != byteAt(prefix, i) {
			return false
		}
	}
	return true
}
