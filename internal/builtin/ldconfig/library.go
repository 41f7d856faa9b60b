package ldconfig

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"math/bits"
	"os"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/rootpath"
	"github.com/crossroot/crossroot/internal/ldcache"
)

// library is what one file says of itself.
type library struct {
	soname    string // "" without one
	flags     uint32
	osVersion uint32 // ABI note, before glibc 2.36
	isaLevel  uint32
}

// examine reads a file that may be a library; false when it is none. The
// message, if there has to be one, is written here.
func (r *run) examine(name string, isLink bool) (library, rootpath.Info, bool) {
	f, err := r.tree.OpenRegular(name)
	if errors.Is(err, fd.ErrNotRegular) {
		if info, err := r.tree.Stat(name); err == nil && info.Dir() {
			r.warn(nil, "Cannot mmap file %s.\n", name)
		}
		return library{}, rootpath.Info{}, false
	}
	if err != nil {
		if !isLink || !strings.Contains(name, ".so") {
			r.warn(nil, "Input file %s not found.\n", name)
		}
		return library{}, rootpath.Info{}, false
	}
	defer f.Close()
	info, err := rootpath.Stat(f)
	if err != nil {
		r.warn(nil, "Cannot fstat file %s.\n", name)
		return library{}, rootpath.Info{}, false
	}
	lib, ok := r.read(name, f, info.Size)
	return lib, info, ok
}

// read looks at the content.
func (r *run) read(name string, f *os.File, size int64) (library, bool) {
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		r.warn(nil, "Cannot mmap file %s.\n", name)
		return library{}, false
	}
	head = head[:n]
	if size < r.facts.headerSize() {
		if size == 0 {
			r.warn(nil, "File %s is empty, not checked.", name)
		} else if strings.HasPrefix(elf.ELFMAG, string(head[:min(n, 4)])) {
			r.warn(nil, "File %s is too small, not checked.", name)
		}
		return library{}, false
	}
	if !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		if !bytes.Contains(head, []byte("GROUP")) && !bytes.Contains(head, []byte("GNU ld script")) && !r.isGDBScript(name) {
			r.warn(nil, "%s is not an ELF file - it has the wrong magic bytes at the start.\n", name)
		}
		return library{}, false
	}
	header, err := elfimage.ParseHeader(head)
	if err != nil || header.ByteOrder().String() != r.facts.order.String() || header.Type != elf.ET_DYN {
		return library{}, false
	}
	if !r.ours(name, header) {
		return library{}, false
	}
	image, err := elfimage.Open(f, size)
	if err != nil {
		r.warn(nil, "file %s is truncated\n", name)
		return library{}, false
	}
	return r.facts.classify(image)
}

// headerSize is the size below which a file is too small to be looked at.
func (f facts) headerSize() int64 {
	if f.class == elf.ELFCLASS64 {
		return 64
	}
	return 52
}

func (r *run) isGDBScript(name string) bool {
	return strings.HasSuffix(name, "-gdb.py") ||
		r.facts.gdbScripts && (strings.HasSuffix(name, "-gdb.gdb") || strings.HasSuffix(name, "-gdb.scm"))
}

// ours says whether the target's ldconfig reads libraries of this kind: of
// both classes where the CPU has both, of any machine but for x86.
func (r *run) ours(name string, h elfimage.Header) bool {
	switch r.facts.machine {
	case elf.EM_386, elf.EM_X86_64:
		if h.Machine == elf.EM_X86_64 || h.Machine == elf.EM_386 && h.Class == elf.ELFCLASS32 {
			return true
		}
		r.warn(nil, "%s is for unknown machine %d.\n", name, h.Machine)
		return false
	case elf.EM_ARM, elf.EM_AARCH64, elf.EM_RISCV, elf.EM_MIPS, elf.EM_S390, elf.EM_PPC, elf.EM_PPC64,
		elf.EM_SPARC, elf.EM_SPARC32PLUS, elf.EM_SPARCV9:
		return true
	}
	if h.Class == r.facts.class {
		return true
	}
	if r.verbose {
		width := 32
		if h.Class == elf.ELFCLASS64 {
			width = 64
		}
		r.warn(nil, "%s is a %d bit ELF file.\n", name, width)
	}
	return false
}

// classify gives flags and name of a shared object; false for those that the
// C library does not support.
func (f facts) classify(m *elfimage.Image) (library, bool) {
	if !m.Dynamic() {
		return library{}, false
	}
	lib := library{soname: m.Soname(), flags: ldcache.TypeLibc6}
	if f.legacy {
		lib.flags = f.libraryType(m)
	}
	if f.minor < 36 {
		if abi, ok := m.ABI(); ok {
			lib.osVersion = abi.OS<<24 | abi.Kernel[0]&0xff<<16 | abi.Kernel[1]&0xff<<8 | abi.Kernel[2]&0xff
		}
	}
	if f.machine == elf.EM_386 || f.machine == elf.EM_X86_64 {
		lib.isaLevel = isaLevel(m)
	}
	ok := f.setABI(&lib.flags, m.Header)
	return lib, ok
}

// libraryType tells libraries that use the C library from those that use none.
func (f facts) libraryType(m *elfimage.Image) uint32 {
	if m.Interp() != "" && slices.Contains(f.interpreters, m.Interp()) {
		return ldcache.TypeLibc6
	}
	suffix := ""
	if f.machine == elf.EM_ALPHA || f.machine == elf.EM_ALPHA_STD || f.machine == elf.EM_IA_64 {
		suffix = ".1"
	}
	if slices.Contains(m.Needed(), "libc.so.6"+suffix) || slices.Contains(m.Needed(), "libm.so.6"+suffix) {
		return ldcache.TypeLibc6
	}
	return ldcache.TypeELF
}

// Values of e_flags.
const (
	armEABIMask, armEABI5       = 0xff000000, 0x05000000
	armSoft, armHard            = 0x200, 0x400
	mipsABI2, mipsNaN2008       = 0x20, 0x400
	riscvFloat, riscvRVC        = 0x6, 0x1
	riscvDouble                 = 0x4
	loongModes, loongObjectABI1 = 0x7, 0x40
	loongSoft, loongDouble      = 0x1, 0x3
)

// setABI puts the ABI into flags, by the rules of the target's CPU family
// (glibc, sysdeps/unix/sysv/linux/*/readelflib.c).
func (f facts) setABI(flags *uint32, h elfimage.Header) bool {
	wide := h.Class == elf.ELFCLASS64
	set := func(abi ldcache.ABI) { *flags = abi | ldcache.TypeLibc6 }
	switch f.machine {
	case elf.EM_386, elf.EM_X86_64:
		if h.Machine == elf.EM_X86_64 && wide {
			set(ldcache.ABIX8664)
		} else if h.Machine == elf.EM_X86_64 {
			set(ldcache.ABIX32)
		}
	case elf.EM_ARM, elf.EM_AARCH64:
		if wide {
			set(ldcache.ABIAArch64)
		} else if h.Flags&armEABIMask == armEABI5 {
			set(armABI(h.Flags))
		}
	case elf.EM_MIPS:
		if abi := mipsABI(wide, h.Flags); abi != ldcache.ABIDefault {
			set(abi)
		}
	case elf.EM_S390:
		if wide {
			set(ldcache.ABIS390x)
		}
	case elf.EM_PPC, elf.EM_PPC64:
		if wide {
			set(ldcache.ABIPowerPC64)
		}
	case elf.EM_SPARC, elf.EM_SPARC32PLUS, elf.EM_SPARCV9:
		if wide {
			set(ldcache.ABISparc64)
		}
	case elf.EM_RISCV:
		return riscvABI(flags, h.Flags)
	case elf.EM_LOONGARCH:
		return loongABI(flags, h.Flags)
	}
	return true
}

// armABI: unmarked libraries go with both.
func armABI(flags uint32) ldcache.ABI {
	switch {
	case flags&armHard != 0:
		return ldcache.ABIArmHard
	case flags&armSoft != 0:
		return ldcache.ABIArmSoft
	}
	return ldcache.ABIDefault
}

func mipsABI(wide bool, flags uint32) ldcache.ABI {
	nan := flags&mipsNaN2008 != 0
	switch {
	case wide && nan:
		return ldcache.ABIMipsN64NaN
	case wide:
		return ldcache.ABIMipsN64
	case flags&mipsABI2 != 0 && nan:
		return ldcache.ABIMipsN32NaN
	case flags&mipsABI2 != 0:
		return ldcache.ABIMipsN32
	case nan:
		return ldcache.ABIMipsO32NaN
	}
	return ldcache.ABIDefault
}

func riscvABI(flags *uint32, h uint32) bool {
	switch h & riscvFloat {
	case 0:
		*flags |= ldcache.ABIRiscvSoft
	case riscvDouble:
		*flags |= ldcache.ABIRiscvDouble
	default:
		return false
	}
	return h&^(riscvFloat|riscvRVC) == 0
}

func loongABI(flags *uint32, h uint32) bool {
	h &^= loongObjectABI1
	switch h & loongModes {
	case loongSoft:
		*flags |= ldcache.ABILoongSoft
	case loongDouble:
		*flags |= ldcache.ABILoongDouble
	default:
		return false
	}
	return h&^loongModes == 0
}

// isaNeeded is GNU_PROPERTY_X86_ISA_1_NEEDED (x86-64 psABI, program property).
const isaNeeded = 0xc0008002

// isaLevel is the highest bit of the ISA levels that an x86 library needs.
func isaLevel(m *elfimage.Image) (level uint32) {
	word := 4
	if m.Class == elf.ELFCLASS64 {
		word = 8
	}
	s, ok := m.Segment(elf.PT_GNU_PROPERTY)
	if !ok || s.Align != uint64(word) {
		return 0
	}
	_ = m.PropertyNotes(func(n elfimage.Note) bool { // a malformed note asks for nothing
		if n.Name != "GNU" || n.Type != elfimage.NoteProperty {
			return true
		}
		level = isaLevelOf(n.Desc, word, m)
		return false
	})
	return level
}

func isaLevelOf(b []byte, word int, m *elfimage.Image) uint32 {
	order := m.ByteOrder()
	if len(b)%word != 0 {
		return 0
	}
	last := uint32(0)
	for len(b) >= 8 {
		kind, size := order.Uint32(b), order.Uint32(b[4:])
		b = b[8:]
		if kind < last || kind > isaNeeded || uint64(size) > uint64(len(b)) {
			return 0
		}
		if kind == isaNeeded {
			if needed := order.Uint32(append(b[:size:size], 0, 0, 0, 0)); size == 4 && needed != 0 {
				return uint32(bits.Len32(needed) - 1)
			}
			return 0
		}
		last = kind
		b = b[min((int(size)+word-1)/word*word, len(b)):]
	}
	return 0
}
