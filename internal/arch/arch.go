// Package arch is the table of CPU architectures that Linux and qemu's user
// mode know, and what each is called by whom.
//
// It promises that one row describes one kind of executable: what differs per
// CPU is data here, never control flow elsewhere. Names are Debian's where
// Debian has one.
//
// It must not know the machine it runs on (but for Host) or read any file.
package arch

import (
	"debug/elf"
	"runtime"
	"slices"

	"github.com/crossroot/crossroot/internal/elfimage"
)

// Arch is one architecture: an instruction set with one ABI.
type Arch struct {
	Name    string   // Debian's, else qemu's or the kernel's; unique
	Debian  string   // dpkg --print-architecture, "" if Debian has none
	Triplet string   // multiarch triplet: the directory below /usr/lib
	Go      string   // GOARCH, "" if Go has no port
	Qemu    string   // qemu-NAME, "" if qemu's user mode has none
	Uname   string   // uname -m of its kernel, as qemu-user answers it
	OpenWrt []string // package architectures, the common ones
	Aliases []string // further names that Lookup understands

	Machine    elf.Machine
	Class      elf.Class
	Order      elf.Data
	FlagsMask  uint32 // e_flags that tell it from its relatives…
	FlagsValue uint32 // …and the value they have

	Loaders []string // program interpreters (PT_INTERP) of glibc, musl, uClibc
	QemuCPU string   // value for QEMU_CPU; "" leaves the choice to qemu

	native []string // hosts all of which run it without emulation
	maybe  []string // hosts some of which do: ask the kernel
}

// All returns every architecture, in a fixed order. The slice is the caller's.
func All() []Arch { return slices.Clone(table) }

// Lookup finds an architecture by any of its names. Where names collide the
// Debian name wins, then GOARCH, qemu's name, the triplet, uname's, OpenWrt's,
// aliases; then the earlier row: "arm" is armhf.
func Lookup(anyName string) (Arch, bool) {
	if anyName == "" {
		return Arch{}, false
	}
	kinds := []func(Arch) []string{
		func(a Arch) []string { return []string{a.Name, a.Debian} },
		func(a Arch) []string { return []string{a.Go} },
		func(a Arch) []string { return []string{a.Qemu} },
		func(a Arch) []string { return []string{a.Triplet} },
		func(a Arch) []string { return []string{a.Uname} },
		func(a Arch) []string { return a.OpenWrt },
		func(a Arch) []string { return a.Aliases },
	}
	for _, names := range kinds {
		for _, a := range table {
			if slices.Contains(names(a), anyName) {
				return a, true
			}
		}
	}
	return Arch{}, false
}

// Host is the architecture that this program was built for.
func Host() Arch {
	a, _ := Lookup(runtime.GOARCH)
	return a
}

// Identify says what an ELF header is for. Where only e_flags differ and say
// nothing, it is the row without flags: see IdentifyProgram.
func Identify(h elfimage.Header) (Arch, bool) {
	for _, a := range table {
		if a.fits(h) && h.Flags&a.FlagsMask == a.FlagsValue {
			return a, true
		}
	}
	return Arch{}, false
}

// IdentifyProgram is Identify for a program whose interpreter (PT_INTERP) is
// known: the interpreter's name tells armhf from armel when e_flags, as those
// of old linkers, don't. An empty or unknown interpreter changes nothing.
func IdentifyProgram(h elfimage.Header, interp string) (Arch, bool) {
	a, ok := Identify(h)
	if !ok || interp == "" || slices.Contains(a.Loaders, interp) {
		return a, ok
	}
	for _, b := range table {
		if b.fits(h) && slices.Contains(b.Loaders, interp) {
			return b, true
		}
	}
	return a, ok
}

func (a Arch) fits(h elfimage.Header) bool {
	return a.Class == h.Class && a.Order == h.Data && a.Machine == machine(h.Machine)
}

// Old numbers of machines that have an official one now (binutils,
// include/elf/common.h).
func machine(m elf.Machine) elf.Machine {
	switch m {
	case 0xbaab:
		return elf.EM_MICROBLAZE
	case 0x8472:
		return elf.EM_OPENRISC
	case 0xabc7:
		return elf.EM_XTENSA
	case 0xa390:
		return elf.EM_S390
	case elf.EM_ALPHA_STD:
		return elf.EM_ALPHA
	}
	return m
}

// WordSize is the size of a C long and of a pointer, in bits: 32 for x32 and
// the mips n32 ABI too.
func (a Arch) WordSize() int {
	if a.Class == elf.ELFCLASS64 {
		return 64
	}
	return 32
}

// LittleEndian says whether the least significant byte comes first.
func (a Arch) LittleEndian() bool { return a.Order == elf.ELFDATA2LSB }

// RunsNativelyOn says whether every Linux host of that architecture runs
// programs of a without emulation.
func (a Arch) RunsNativelyOn(host Arch) bool {
	return a.Name == host.Name || slices.Contains(a.native, host.Name)
}

// MayRunOn says whether some hosts of that architecture run programs of a
// without emulation (arm on those arm64 CPUs that still have the 32-bit mode,
// x32 where the kernel was told so). Whether this one does must be tried.
func (a Arch) MayRunOn(host Arch) bool {
	return a.RunsNativelyOn(host) || slices.Contains(a.maybe, host.Name)
}

// String is the name.
func (a Arch) String() string { return a.Name }
