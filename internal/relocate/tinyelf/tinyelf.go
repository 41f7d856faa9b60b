// Package tinyelf makes small 64-bit ELF files for tests: with an interpreter,
// libraries, constants and "code" of one's choice.
//
// It promises a file that is well-formed as far as crossroot looks. What is in
// it need not run. It must not be used outside tests.
package tinyelf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// File describes an ELF file; the zero value is a static executable for x86-64
// with nothing in it.
type File struct {
	Machine elf.Machine // 0 is x86-64
	Interp  string
	Needed  []string
	Soname  string
	RunPath string
	RPath   string

	ROData []byte // .rodata, in a segment that can only be read
	Text   []byte // .text, in a segment that can be executed
	Data   []byte // .data, in a segment that can be written

	// Pointers are offsets into ROData: .data begins with a pointer to each,
	// which a relocation makes right.
	Pointers []uint64
	Room     int // unused bytes behind ROData

	NoSections bool
}

// Address is where the file's first byte is loaded.
const Address = address

const (
	headerSize  = 64
	programSize = 56
	sectionSize = 64
	relaSize    = 24
	segments    = 5
	address     = 0x10000 // where the file's first byte is loaded
)

// section is a part of the file.
type section struct {
	name    string
	kind    elf.SectionType
	flags   elf.SectionFlag
	content []byte
	offset  int
}

// Bytes is the file.
func (f File) Bytes() []byte {
	strings, dynamic := f.dynamic()
	list := []*section{
		{name: ".interp", kind: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC, content: terminated(f.Interp)},
		{name: ".dynstr", kind: elf.SHT_STRTAB, flags: elf.SHF_ALLOC, content: strings},
		{name: ".dynamic", kind: elf.SHT_DYNAMIC, flags: elf.SHF_ALLOC, content: make([]byte, 16*(len(dynamic)+5))},
		{name: ".rela.dyn", kind: elf.SHT_RELA, flags: elf.SHF_ALLOC, content: make([]byte, relaSize*len(f.Pointers))},
		{name: ".rodata", kind: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC, content: f.ROData},
		{name: ".text", kind: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, content: f.Text},
		{name: ".data", kind: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC | elf.SHF_WRITE, content: append(make([]byte, 8*len(f.Pointers)), f.Data...)},
		{name: ".shstrtab", kind: elf.SHT_STRTAB},
	}
	names := list[len(list)-1]
	names.content = []byte{0}
	var body bytes.Buffer
	body.Write(make([]byte, headerSize+segments*programSize))
	for _, s := range list {
		names.content = append(names.content, terminated(s.name)...)
	}
	for _, s := range list {
		body.Write(make([]byte, -body.Len()&7))
		s.offset = body.Len()
		body.Write(s.content)
		if s.name == ".rodata" {
			body.Write(make([]byte, f.Room))
		}
	}
	body.Write(make([]byte, -body.Len()&7))
	table := body.Len()
	if !f.NoSections {
		body.Write(sectionTable(list))
	}
	b := body.Bytes()
	f.fillDynamic(b[list[2].offset:], dynamic, list)
	f.fillPointers(b, list)
	f.fillHeader(b, list, table)
	return b
}

func terminated(s string) []byte {
	if s == "" {
		return nil
	}
	return append([]byte(s), 0)
}

// entry is one of the dynamic section.
type entry struct {
	tag   elf.DynTag
	value uint64
}

func (f File) dynamic() (strings []byte, list []entry) {
	strings = []byte{0}
	add := func(tag elf.DynTag, s string) {
		if s != "" {
			list = append(list, entry{tag, uint64(len(strings))})
			strings = append(strings, terminated(s)...)
		}
	}
	for _, n := range f.Needed {
		add(elf.DT_NEEDED, n)
	}
	add(elf.DT_SONAME, f.Soname)
	add(elf.DT_RUNPATH, f.RunPath)
	add(elf.DT_RPATH, f.RPath)
	return strings, list
}

func (f File) fillDynamic(b []byte, list []entry, sections []*section) {
	strings, rela := sections[1], sections[3]
	list = append(list, entry{elf.DT_STRTAB, address + uint64(strings.offset)}, entry{elf.DT_STRSZ, uint64(len(strings.content))},
		entry{elf.DT_RELA, address + uint64(rela.offset)}, entry{elf.DT_RELASZ, uint64(len(rela.content))}, entry{elf.DT_NULL, 0})
	for i, e := range list {
		binary.LittleEndian.PutUint64(b[16*i:], uint64(e.tag))
		binary.LittleEndian.PutUint64(b[16*i+8:], e.value)
	}
}

func (f File) fillPointers(b []byte, list []*section) {
	le := binary.LittleEndian
	rela, rodata, data := list[3], list[4], list[6]
	for i, off := range f.Pointers {
		to := address + uint64(rodata.offset) + off
		e := b[rela.offset+relaSize*i:]
		le.PutUint64(e, address+uint64(data.offset+8*i))
		le.PutUint64(e[8:], uint64(elf.R_X86_64_RELATIVE))
		le.PutUint64(e[16:], to)
		le.PutUint64(b[data.offset+8*i:], to)
	}
}

func sectionTable(list []*section) []byte {
	b := make([]byte, sectionSize*(len(list)+1))
	name := 1
	for i, s := range list {
		h := b[sectionSize*(i+1):]
		binary.LittleEndian.PutUint32(h, uint32(name))
		binary.LittleEndian.PutUint32(h[4:], uint32(s.kind))
		binary.LittleEndian.PutUint64(h[8:], uint64(s.flags))
		binary.LittleEndian.PutUint64(h[16:], address+uint64(s.offset))
		binary.LittleEndian.PutUint64(h[24:], uint64(s.offset))
		binary.LittleEndian.PutUint64(h[32:], uint64(len(s.content)))
		name += len(s.name) + 1
	}
	return b
}

func (f File) fillHeader(b []byte, list []*section, table int) {
	le := binary.LittleEndian
	copy(b, "\x7fELF\x02\x01\x01")
	kind, machine := elf.ET_DYN, f.Machine
	if f.Interp == "" && len(f.Needed) == 0 && f.Soname == "" && len(f.Pointers) == 0 {
		kind = elf.ET_EXEC
	}
	if machine == 0 {
		machine = elf.EM_X86_64
	}
	le.PutUint16(b[16:], uint16(kind))
	le.PutUint16(b[18:], uint16(machine))
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[32:], headerSize)
	le.PutUint16(b[52:], headerSize)
	le.PutUint16(b[54:], programSize)
	le.PutUint16(b[56:], segments)
	if !f.NoSections {
		le.PutUint64(b[40:], uint64(table))
		le.PutUint16(b[58:], sectionSize)
		le.PutUint16(b[60:], uint16(len(list)+1))
		le.PutUint16(b[62:], uint16(len(list)))
	}
	end := func(s *section) int { return s.offset + len(s.content) }
	put := func(i int, kind elf.ProgType, flags elf.ProgFlag, from, to int) {
		h := b[headerSize+i*programSize:]
		le.PutUint32(h, uint32(kind))
		le.PutUint32(h[4:], uint32(flags))
		le.PutUint64(h[8:], uint64(from))
		le.PutUint64(h[16:], address+uint64(from))
		le.PutUint64(h[32:], uint64(to-from))
		le.PutUint64(h[40:], uint64(to-from))
		le.PutUint64(h[48:], 8)
	}
	put(0, elf.PT_LOAD, elf.PF_R, 0, end(list[4]))
	put(1, elf.PT_LOAD, elf.PF_R|elf.PF_X, list[5].offset, end(list[5]))
	put(2, elf.PT_LOAD, elf.PF_R|elf.PF_W, list[6].offset, end(list[6]))
	if f.Interp != "" {
		put(3, elf.PT_INTERP, elf.PF_R, list[0].offset, end(list[0]))
	}
	if kind == elf.ET_DYN {
		put(4, elf.PT_DYNAMIC, elf.PF_R, list[2].offset, end(list[2]))
	}
}
