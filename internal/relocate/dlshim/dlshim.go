// Package dlshim makes a shared library that stands between a relocated
// program and dlopen(3): an absolute path P for which /.cr/py/P exists is
// opened there, any other name as it is. python finds its binary modules under
// the target's names; what it loads for them must be native.
//
// It promises a library that needs nothing but the one it is made for, and has
// no state. It must not know what lies in /.cr/py.
package dlshim

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// Prefix is put before an absolute path. It has as many bytes as the code
// stores at once, with the NUL that is written over.
const Prefix = "/.cr/py"

// machine is what differs between CPUs.
type machine struct {
	code []byte // at an address of 8 bytes' alignment; then Prefix, "dlopen" and a distance, see distance
	// reloc fills a pointer with a symbol's address.
	reloc uint32
}

var machines = map[elf.Machine]machine{
	elf.EM_X86_64:  {codeX8664, uint32(elf.R_X86_64_GLOB_DAT)},
	elf.EM_AARCH64: {codeAArch64, uint32(elf.R_AARCH64_GLOB_DAT)},
}

// Supported says whether there is a shim for a CPU.
func Supported(m elf.Machine) bool { return machines[m].code != nil }

const (
	headerSize  = 64
	programSize = 56
	symbolSize  = 24
	relaSize    = 24
	entrySize   = 16      // of the dynamic section
	page        = 0x10000 // the largest of any CPU
)

// Build makes the library. It needs the library called needed, which the
// program would have needed in its place. A program must name it before
// the C library.
func Build(m elf.Machine, needed string) ([]byte, error) {
	cpu, ok := machines[m]
	if !ok {
		return nil, fmt.Errorf("make dlopen shim: no code for %s", m)
	}
	const programs = 4
	names := []byte("\x00dlopen\x00dlsym\x00" + needed + "\x00")
	const dlopen, dlsym, library = 1, 8, 14 // offsets in names
	symbols := headerSize + programs*programSize
	hash := symbols + 3*symbolSize
	rela := hash + 4*6 + 4*2 // padded to 8
	strings := rela + relaSize
	code := align(strings+len(names), 16)
	end := code + len(cpu.code)
	dynamic := align(end, 8)
	data := uint64(dynamic + page) // addresses of what can be written
	const entries = 10             // the last is DT_NULL
	pointer := data + entries*entrySize

	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&b, binary.LittleEndian, v) // a bytes.Buffer takes everything
		}
	}
	pad := func(to int) { b.Write(make([]byte, to-b.Len())) }
	size := uint64(dynamic) + entries*entrySize + 8
	put(elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_DYN), Machine: uint16(m), Version: uint32(elf.EV_CURRENT),
		Phoff: headerSize, Ehsize: headerSize, Phentsize: programSize, Phnum: programs,
	})
	rw := elf.Prog64{Flags: uint32(elf.PF_R | elf.PF_W), Off: uint64(dynamic), Vaddr: data, Paddr: data, Filesz: size - uint64(dynamic), Memsz: size - uint64(dynamic)}
	load, dyn := rw, rw
	load.Type, load.Align = uint32(elf.PT_LOAD), page
	dyn.Type, dyn.Align, dyn.Filesz, dyn.Memsz = uint32(elf.PT_DYNAMIC), 8, entries*entrySize, entries*entrySize
	put(
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Filesz: uint64(end), Memsz: uint64(end), Align: page},
		load, dyn,
		elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W), Align: 16},
	)
	function := elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC)
	put(elf.Sym64{},
		elf.Sym64{Name: dlopen, Info: function, Shndx: 1, Value: uint64(code), Size: uint64(len(cpu.code))},
		elf.Sym64{Name: dlsym, Info: function})
	put([]uint32{1, 3, 1, 0, 2, 0}) // one bucket: 1, then 2
	pad(rela)
	put(elf.Rela64{Off: pointer, Info: elf.R_INFO(2, cpu.reloc)})
	b.Write(names)
	pad(code)
	b.Write(cpu.code[:len(cpu.code)-8])
	put(pointer - uint64(end-8)) // the distance from here to the pointer
	pad(dynamic)
	put([]uint64{
		uint64(elf.DT_NEEDED), library,
		uint64(elf.DT_HASH), uint64(hash), uint64(elf.DT_SYMTAB), uint64(symbols), uint64(elf.DT_SYMENT), symbolSize,
		uint64(elf.DT_STRTAB), uint64(strings), uint64(elf.DT_STRSZ), uint64(len(names)),
		uint64(elf.DT_RELA), uint64(rela), uint64(elf.DT_RELASZ), relaSize, uint64(elf.DT_RELAENT), relaSize,
		uint64(elf.DT_NULL), 0, 0, // and the pointer
	})
	return b.Bytes(), nil
}

func align(n, to int) int { return (n + to - 1) &^ (to - 1) }
