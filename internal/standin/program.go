// Package standin makes stand-ins of foreign executables, and small root file systems out of them, from nothing: for
// the demonstration and for tests that must work on any machine, without network, emulator or anybody's binaries.
// It promises files that the kernel and crossroot recognise as executables of the architecture asked for, and roots
// that look like a Debian root with merged /usr. What it makes can't compute: dispatch puts native programs in its
// place. It knows nothing of sandboxes and policies.
package standin

import (
	"bytes"
	"debug/elf"
	"encoding/binary"

	"github.com/crossroot/crossroot/internal/arch"
)

// Program is one executable. Executing it without dispatch traps: its entry point holds zeros.
type Program struct {
	Arch    arch.Arch
	Interp  string   // PT_INTERP; "" is a static executable
	Strings []string // constants, each NUL-terminated, in a segment that can only be read
	Shared  bool     // ET_DYN: a library, or position-independent; else ET_EXEC
}

// address is where the file's first byte is loaded: above mmap_min_addr, aligned for every page size (64 KiB).
const address = 0x10000

// align is the greatest page size in use.
const align = 0x10000

// code is how many zero bytes stand at the entry point.
const code = 16

// Bytes is the ELF file: a header, two or three program headers, constants, code; no sections (System V ABI, chapters
// 4 and 5).
func (p Program) Bytes() []byte {
	w := writer{class: p.Arch.Class, order: order(p.Arch)}
	header, entry := 64, 56
	if p.Arch.Class == elf.ELFCLASS32 {
		header, entry = 52, 32
	}
	segments := 2
	var interp []byte
	if p.Interp != "" {
		segments, interp = 3, append([]byte(p.Interp), 0)
	}
	constants := append([]byte{}, interp...)
	constants = append(constants, 0)
	for _, s := range p.Strings {
		constants = append(append(constants, s...), 0)
	}
	start := header + segments*entry
	text := (start + len(constants) + code - 1) &^ (code - 1)

	w.header(p, uint64(address+align+text), segments, header, entry)
	if p.Interp != "" {
		w.segment(elf.PT_INTERP, elf.PF_R, start, len(interp), address, 1)
	}
	w.segment(elf.PT_LOAD, elf.PF_R, 0, start+len(constants), address, align)
	w.segment(elf.PT_LOAD, elf.PF_R|elf.PF_X, text, code, address+align, align)
	w.Write(constants)
	w.Write(make([]byte, text+code-w.Len()))
	return w.Bytes()
}

func order(a arch.Arch) binary.ByteOrder {
	if a.LittleEndian() {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

// writer lays out what differs between classes and byte orders.
type writer struct {
	bytes.Buffer
	class elf.Class
	order binary.ByteOrder
}

func (w *writer) put(v any) { _ = binary.Write(w, w.order, v) }

// word writes an address, offset or size.
func (w *writer) word(v uint64) {
	if w.class == elf.ELFCLASS32 {
		w.put(uint32(v))
		return
	}
	w.put(v)
}

func (w *writer) header(p Program, entry uint64, segments, headerSize, segmentSize int) {
	kind := elf.ET_EXEC
	if p.Shared {
		kind = elf.ET_DYN
	}
	w.WriteString(elf.ELFMAG)
	w.Write([]byte{byte(p.Arch.Class), byte(p.Arch.Order), byte(elf.EV_CURRENT), 0, 0, 0, 0, 0, 0, 0, 0, 0})
	w.put(uint16(kind))
	w.put(uint16(p.Arch.Machine))
	w.put(uint32(elf.EV_CURRENT))
	w.word(entry)
	w.word(uint64(headerSize)) // program headers follow
	w.word(0)                  // no section headers
	w.put(p.Arch.FlagsValue)
	w.put(uint16(headerSize))
	w.put(uint16(segmentSize))
	w.put(uint16(segments))
	w.put([3]uint16{})
}

// segment writes a program header for size bytes at offset; base is the address of offset 0.
func (w *writer) segment(kind elf.ProgType, flags elf.ProgFlag, offset, size int, base, align uint64) {
	at, length := base+uint64(offset), uint64(size)
	w.put(uint32(kind))
	if w.class == elf.ELFCLASS64 {
		w.put(uint32(flags))
	}
	w.word(uint64(offset))
	w.word(at)
	w.word(at)
	w.word(length)
	w.word(length)
	if w.class == elf.ELFCLASS32 {
		w.put(uint32(flags))
	}
	w.word(align)
}
