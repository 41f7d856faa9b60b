package arch

import "debug/elf"

// Offsets in the ELF header.
const (
	offType    = 16
	offMachine = 18
	offFlags32 = 36
)

// Magic returns the pattern that finds executables of a by their first bytes,
// as binfmt_misc takes it (Linux, Documentation/admin-guide/binfmt-misc.rst):
// a file matches when file[i]&mask[i] == magic[i]&mask[i] for every i.
//
// It accepts ET_EXEC and ET_DYN, and any OS ABI, ABI version and padding, as
// the kernel's own ELF loader does. Of e_flags it looks only at what tells 32
// bit ABIs of mips apart; else relatives with other flags (armhf and armel)
// share one magic, so register one of them only.
func (a Arch) Magic() (magic, mask []byte) {
	size := offMachine + 2
	if a.splitByFlags() {
		size = offFlags32 + 4
	}
	magic, mask = make([]byte, size), make([]byte, size)
	copy(magic, []byte{0x7f, 'E', 'L', 'F', byte(a.Class), byte(a.Order), byte(elf.EV_CURRENT)})
	for i := range 7 {
		mask[i] = 0xff
	}
	a.put16(magic[offType:], uint16(elf.ET_EXEC))
	a.put16(mask[offType:], 0xfffe)
	a.put16(magic[offMachine:], uint16(a.Machine))
	a.put16(mask[offMachine:], 0xffff)
	if a.splitByFlags() {
		flags := magic[offFlags32:]
		at := 3
		if a.LittleEndian() {
			at = 0
		}
		flags[at] = byte(a.FlagsValue & mipsABI2)
		mask[offFlags32+at] = mipsABI2
	}
	return magic, mask
}

// SharesMagic reports whether some executable matches the patterns of both: one handler gets them all.
func (a Arch) SharesMagic(b Arch) bool {
	m1, k1 := a.Magic()
	m2, k2 := b.Magic()
	for i := range min(len(m1), len(m2)) {
		if k1[i]&k2[i]&(m1[i]^m2[i]) != 0 {
			return false
		}
	}
	return true
}

// splitByFlags: o32 and n32 are one machine and class, but different emulators.
func (a Arch) splitByFlags() bool {
	return a.Machine == elf.EM_MIPS && a.Class == elf.ELFCLASS32
}

func (a Arch) put16(b []byte, v uint16) {
	if a.LittleEndian() {
		b[0], b[1] = byte(v), byte(v>>8)
	} else {
		b[0], b[1] = byte(v>>8), byte(v)
	}
}
