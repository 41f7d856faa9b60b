// Package ldcache reads and writes the file with which glibc's loader finds
// libraries: /etc/ld.so.cache.
//
// It promises that what it writes is, byte for byte, what the ldconfig of the
// stated glibc writes for the same entries, in the byte order of the target.
//
// It must not know where entries come from: no files, no ELF (see package
// builtin/ldconfig for that). The format is described by glibc's
// sysdeps/generic/dl-cache.h.
package ldcache

import (
	"encoding/binary"
	"errors"
)

// ErrFormat says that bytes are not a cache that the loader would accept.
var ErrFormat = errors.New("not a library cache")

// Format is which of two tables a cache has.
type Format int

// Formats, as ldconfig -c names them.
const (
	New    Format = iota // one table, the default since glibc 2.32
	Compat               // the old table first, the new one in its strings: the default before
	Old                  // for libc5 and glibc before 2.2
)

// Type is the low byte of flags: the C library that an entry was linked to.
type Type = uint32

// Types of libraries.
const (
	TypeLibc4 Type = 0
	TypeELF   Type = 1 // ELF, C library unknown
	TypeLibc5 Type = 2
	TypeLibc6 Type = 3
	TypeMask  Type = 0xff
)

// ABI is the second byte of flags: what the library's ABI is where an
// architecture has several.
type ABI = uint32

// ABIs (glibc, sysdeps/generic/ldconfig.h).
const (
	ABIDefault       ABI  = 0x0000
	ABISparc64       ABI  = 0x0100
	ABIIA64          ABI  = 0x0200
	ABIX8664         ABI  = 0x0300
	ABIS390x         ABI  = 0x0400
	ABIPowerPC64     ABI  = 0x0500
	ABIMipsN32       ABI  = 0x0600
	ABIMipsN64       ABI  = 0x0700
	ABIX32           ABI  = 0x0800
	ABIArmHard       ABI  = 0x0900
	ABIAArch64       ABI  = 0x0a00
	ABIArmSoft       ABI  = 0x0b00
	ABIMipsO32NaN    ABI  = 0x0c00
	ABIMipsN32NaN    ABI  = 0x0d00
	ABIMipsN64NaN    ABI  = 0x0e00
	ABIRiscvSoft     ABI  = 0x0f00
	ABIRiscvDouble   ABI  = 0x1000
	ABILoongSoft     ABI  = 0x1100
	ABILoongDouble   ABI  = 0x1200
	ABIMask          ABI  = 0xff00
	maxISALevel           = 1<<10 - 1
	extensionBit          = uint64(1) << 62
	extensionMagic        = uint32(0xeaa42174)
	tagGenerator          = 0
	tagHwcaps             = 1
	magicOld              = "ld.so-1.7.0"
	magicNew              = "glibc-ld.so.cache1.1"
	headerOld             = 16
	headerNew             = 48
	entryOld              = 12
	entryNew              = 24
	extensionHeader       = 8
	extensionSection      = 16
	endianLittle     byte = 2
	endianBig        byte = 3
)

// Entry is one library.
type Entry struct {
	Name  string // what programs ask for: the soname
	Path  string // the file that they get
	Flags uint32 // Type | ABI

	// OSVersion is the oldest kernel it runs on, one byte each for system,
	// major, minor, patch level. glibc 2.36 and later write 0.
	OSVersion uint32

	// Hwcap are the CPU's features that are needed, by legacy subdirectory
	// names (neon, i686, tls). 0 when Subdir is set.
	Hwcap uint64

	// Subdir is the subdirectory of glibc-hwcaps, such as x86-64-v3, and
	// ISALevel what the library itself says that it needs (0 to 1023); only
	// glibc 2.33 and later know them.
	Subdir   string
	ISALevel uint32
}

// Cache is the content of a cache file.
type Cache struct {
	Order  binary.ByteOrder
	Format Format

	// Classic is the layout before glibc 2.33: no shared strings, no
	// extensions (generator, glibc-hwcaps).
	Classic bool

	// Unstated: the header does not tell the byte order, as before glibc 2.33
	// unless the vendor added it.
	Unstated bool

	// Generator is the text that names the writer, without end of line.
	Generator string

	// Entries in the order in which ldconfig found them; Encode sorts. Parse
	// gives them in the file's order.
	Entries []Entry

	// Unused are subdirectories of glibc-hwcaps without any library. Their
	// names take room among the strings. Parse does not see them.
	Unused []string
}
