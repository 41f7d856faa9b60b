package ldconfig

import (
	"debug/elf"
	"math/bits"

	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/ldcache"
)

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
