// Package elfmake makes small ELF files of any CPU, as stand-ins for tests and
// demonstrations: they look like programs or libraries, but hold no code.
//
// It is pure. It must not know which CPU is which (see package arch).
package elfmake

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// File describes a file. Only Class, Order and Machine are needed.
type File struct {
	Class   elf.Class
	Order   binary.ByteOrder
	Machine elf.Machine
	Type    elf.Type // 0 is ET_DYN
	Flags   uint32
	Interp  string // PT_INTERP, none when empty
	Needed  []string
	Soname  string
	RunPath string
	Note    []byte // content of a PT_NOTE
	Rodata  []byte // a section of its own, when there are sections
	Strip   bool   // no section headers
}

// Bytes lays the file out as: header, 4 program headers, interpreter, note,
// dynamic strings, dynamic section, rodata, section names, section headers.
// Everything is loaded at address 0x10000 by one read-only segment.
func (s File) Bytes() []byte {
	const base = 0x10000
	is64 := s.Class == elf.ELFCLASS64
	word, headerLen, progLen, sectLen := 4, 52, 32, 40
	if is64 {
		word, headerLen, progLen, sectLen = 8, 64, 56, 64
	}
	var strs bytes.Buffer
	strs.WriteByte(0)
	add := func(v string) uint64 {
		at := strs.Len()
		strs.WriteString(v)
		strs.WriteByte(0)
		return uint64(at)
	}
	var dyn [][2]uint64
	for _, n := range s.Needed {
		dyn = append(dyn, [2]uint64{uint64(elf.DT_NEEDED), add(n)})
	}
	if s.Soname != "" {
		dyn = append(dyn, [2]uint64{uint64(elf.DT_SONAME), add(s.Soname)})
	}
	if s.RunPath != "" {
		dyn = append(dyn, [2]uint64{uint64(elf.DT_RUNPATH), add(s.RunPath)})
	}

	body := make([]byte, headerLen+4*progLen)
	place := func(b []byte) (at uint64) {
		for len(body)%8 != 0 {
			body = append(body, 0)
		}
		at = uint64(len(body))
		body = append(body, b...)
		return at
	}
	interpAt := place(append([]byte(s.Interp), 0))
	noteAt := place(s.Note)
	strAt := place(strs.Bytes())
	dyn = append(dyn, [2]uint64{uint64(elf.DT_STRTAB), base + strAt}, [2]uint64{uint64(elf.DT_STRSZ), uint64(strs.Len())}, [2]uint64{})
	num := func(w int, v uint64) []byte {
		b := make([]byte, w)
		if w == 8 {
			s.Order.PutUint64(b, v)
		} else if w == 4 {
			s.Order.PutUint32(b, uint32(v))
		} else {
			s.Order.PutUint16(b, uint16(v))
		}
		return b
	}
	var dynBytes []byte
	for _, d := range dyn {
		dynBytes = append(append(dynBytes, num(word, d[0])...), num(word, d[1])...)
	}
	dynAt := place(dynBytes)
	roAt := place(s.Rodata)

	names := []byte("\x00.dynstr\x00.rodata\x00.shstrtab\x00")
	namesAt := place(names)
	var shAt uint64
	if !s.Strip {
		shAt = place(make([]byte, 4*sectLen))
		section := func(i int, name, kind, off, size uint64) {
			b := body[int(shAt)+i*sectLen:]
			copy(b, num(4, name))
			copy(b[4:], num(4, kind))
			copy(b[8+2*word:], num(word, off))
			copy(b[8+3*word:], num(word, size))
		}
		section(1, 1, uint64(elf.SHT_STRTAB), strAt, uint64(strs.Len()))
		section(2, 9, uint64(elf.SHT_PROGBITS), roAt, uint64(len(s.Rodata)))
		section(3, 17, uint64(elf.SHT_STRTAB), namesAt, uint64(len(names)))
	}

	segment := func(i int, kind elf.ProgType, off, size uint64) {
		b := body[headerLen+i*progLen:]
		copy(b, num(4, uint64(kind)))
		if is64 {
			copy(b[4:], num(4, uint64(elf.PF_R)))
			copy(b[8:], num(8, off))
			copy(b[16:], num(8, base+off))
			copy(b[32:], num(8, size))
			copy(b[40:], num(8, size))
			copy(b[48:], num(8, 4))
		} else {
			copy(b[4:], num(4, off))
			copy(b[8:], num(4, base+off))
			copy(b[16:], num(4, size))
			copy(b[20:], num(4, size))
			copy(b[24:], num(4, uint64(elf.PF_R)))
			copy(b[28:], num(4, 4))
		}
	}
	segment(0, elf.PT_LOAD, 0, uint64(len(body)))
	segment(1, elf.PT_DYNAMIC, dynAt, uint64(len(dynBytes)))
	if s.Interp != "" {
		segment(2, elf.PT_INTERP, interpAt, uint64(len(s.Interp)+1))
	}
	if s.Note != nil {
		segment(3, elf.PT_NOTE, noteAt, uint64(len(s.Note)))
	}

	data := byte(elf.ELFDATA2LSB)
	if s.Order.String() == "BigEndian" {
		data = byte(elf.ELFDATA2MSB)
	}
	copy(body, []byte{0x7f, 'E', 'L', 'F', byte(s.Class), data, 1})
	kind := s.Type
	if kind == elf.ET_NONE {
		kind = elf.ET_DYN
	}
	copy(body[16:], num(2, uint64(kind)))
	copy(body[18:], num(2, uint64(s.Machine)))
	copy(body[20:], num(4, 1))
	copy(body[24:], num(word, base))
	copy(body[24+word:], num(word, uint64(headerLen)))
	copy(body[24+2*word:], num(word, shAt))
	rest := body[24+3*word:]
	copy(rest, num(4, uint64(s.Flags)))
	copy(rest[4:], num(2, uint64(headerLen)))
	copy(rest[6:], num(2, uint64(progLen)))
	copy(rest[8:], num(2, 4))
	copy(rest[10:], num(2, uint64(sectLen)))
	if !s.Strip {
		copy(rest[12:], num(2, 4))
		copy(rest[14:], num(2, 3))
	}
	return body
}
