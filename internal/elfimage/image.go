package elfimage

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"math"
)

// What is believed of a file at most.
const (
	maxProgramTable = 64 << 10  // bytes; Linux refuses to run more (fs/binfmt_elf.c, load_elf_phdrs)
	maxSectionTable = 256 << 10 // bytes: 4096 sections of a 64-bit file
	maxDynamic      = 64 << 10  // bytes: 4096 entries of a 64-bit file
	maxString       = 4096      // bytes of a path, as PATH_MAX
	maxStrings      = 128 << 10 // bytes of all strings of the dynamic section
	maxNotes        = 64 << 10  // bytes of one segment of notes
)

// Segment is a program header. All numbers are in bytes.
type Segment struct {
	Type   elf.ProgType
	Flags  elf.ProgFlag
	Offset uint64
	Vaddr  uint64
	Filesz uint64
	Memsz  uint64
	Align  uint64
}

// Image is an opened ELF file. It reads from its source on demand and is not
// changed by any method: it can be used from several goroutines when the
// source can.
type Image struct {
	Header
	Segments []Segment // all of them, in the file's order

	r       io.ReaderAt
	size    uint64
	interp  string
	dynamic dynamic
}

// Open reads header, program headers, interpreter and dynamic section of an
// ELF file of size bytes. Section headers are not needed to run a file and are
// read later, see Sections. An error that is not r's own wraps ErrNotELF.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	if size < 0 {
		return nil, fmt.Errorf("size %d: %w", size, ErrNotELF)
	}
	header, err := ReadHeader(r)
	if err != nil {
		return nil, err
	}
	m := &Image{Header: header, r: r, size: uint64(size)}
	if err := m.readSegments(); err != nil {
		return nil, err
	}
	if err := m.readInterp(); err != nil {
		return nil, err
	}
	if err := m.readDynamic(); err != nil {
		return nil, err
	}
	return m, nil
}

// Interp is the program interpreter (PT_INTERP), "" when there is none.
func (m *Image) Interp() string { return m.interp }

// Size is the size of the file in bytes, as given to Open.
func (m *Image) Size() int64 { return int64(m.size) }

// span reads length bytes at off, which must lie inside the file and be no
// more than limit.
func (m *Image) span(what string, off, length, limit uint64) ([]byte, error) {
	if length > limit {
		return nil, fmt.Errorf("%s of %d bytes: %w", what, length, ErrMalformed)
	}
	if off > m.size || length > m.size-off || off > math.MaxInt64 {
		return nil, fmt.Errorf("%s at %d, %d bytes, in a file of %d: %w", what, off, length, m.size, ErrMalformed)
	}
	b := make([]byte, length)
	if n, err := m.r.ReadAt(b, int64(off)); n < len(b) {
		if errors.Is(err, io.EOF) || err == nil {
			return nil, fmt.Errorf("%s at %d: file ends: %w", what, off, ErrMalformed)
		}
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return b, nil
}

func (m *Image) readSegments() error {
	if m.ProgramCount == 0 {
		return nil
	}
	entry := uint64(32)
	if m.Class == elf.ELFCLASS64 {
		entry = 56
	}
	if uint64(m.ProgramSize) != entry {
		return fmt.Errorf("program header of %d bytes: %w", m.ProgramSize, ErrMalformed)
	}
	table, err := m.span("program headers", m.ProgramOffset, entry*uint64(m.ProgramCount), maxProgramTable)
	if err != nil {
		return err
	}
	m.Segments = make([]Segment, m.ProgramCount)
	for i := range m.Segments {
		m.Segments[i] = m.decodeSegment(table[uint64(i)*entry:])
	}
	return nil
}

func (m *Image) decodeSegment(b []byte) Segment {
	order := m.ByteOrder()
	if m.Class == elf.ELFCLASS32 {
		return Segment{
			Type:   elf.ProgType(order.Uint32(b)),
			Offset: uint64(order.Uint32(b[4:])),
			Vaddr:  uint64(order.Uint32(b[8:])),
			Filesz: uint64(order.Uint32(b[16:])),
			Memsz:  uint64(order.Uint32(b[20:])),
			Flags:  elf.ProgFlag(order.Uint32(b[24:])),
			Align:  uint64(order.Uint32(b[28:])),
		}
	}
	return Segment{
		Type:   elf.ProgType(order.Uint32(b)),
		Flags:  elf.ProgFlag(order.Uint32(b[4:])),
		Offset: order.Uint64(b[8:]),
		Vaddr:  order.Uint64(b[16:]),
		Filesz: order.Uint64(b[32:]),
		Memsz:  order.Uint64(b[40:]),
		Align:  order.Uint64(b[48:]),
	}
}

func (m *Image) readInterp() error {
	s, ok := m.Segment(elf.PT_INTERP)
	if !ok || s.Filesz == 0 { // debug files have an empty one
		return nil
	}
	b, err := m.span("interpreter", s.Offset, s.Filesz, maxString)
	if err != nil {
		return err
	}
	path, _, ended := bytes.Cut(b, []byte{0})
	if !ended || len(path) == 0 {
		return fmt.Errorf("interpreter %q: %w", path, ErrMalformed)
	}
	m.interp = string(path)
	return nil
}

// Segment is the first segment of type t.
func (m *Image) Segment(t elf.ProgType) (Segment, bool) {
	for _, s := range m.Segments {
		if s.Type == t {
			return s, true
		}
	}
	return Segment{}, false
}

// FileOffset is where in the file the byte of virtual address vaddr lies;
// false when no PT_LOAD has it.
func (m *Image) FileOffset(vaddr uint64) (uint64, bool) {
	for _, s := range m.Segments {
		if s.Type == elf.PT_LOAD && vaddr >= s.Vaddr && vaddr-s.Vaddr < s.Filesz {
			off := s.Offset + (vaddr - s.Vaddr)
			return off, off >= s.Offset && off < m.size
		}
	}
	return 0, false
}
