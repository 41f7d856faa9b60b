// Package elfimage reads what crossroot must know of a foreign ELF file: its
// header, what it asks of its loader, its notes, its strings.
//
// It is pure (bytes in, values out) and made for hostile input: it never
// panics, and whatever a file claims it allocates less than 1 MiB for it.
//
// It must not know which architecture a header means (see package arch), where
// a file lies, or what will be done with it.
package elfimage

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var (
	// ErrNotELF says that a file does not start as an ELF file does.
	ErrNotELF = errors.New("not an ELF file")
	// ErrMalformed says that an ELF file contradicts itself or its size.
	// Every error that wraps it wraps ErrNotELF too: nobody can run such a file.
	ErrMalformed = fmt.Errorf("malformed: %w", ErrNotELF)
)

// HeaderSize is the number of bytes that ReadHeader looks at: an Elf64_Ehdr.
// An Elf32_Ehdr is 52 bytes, and a file that ends there is read too.
const HeaderSize = 64

const header32Size = 52

// Header is an ELF header (System V ABI, "ELF Header"), the same for both
// classes. Offsets and sizes are in bytes.
type Header struct {
	Class      elf.Class
	Data       elf.Data
	OSABI      elf.OSABI
	ABIVersion uint8
	Type       elf.Type
	Machine    elf.Machine
	Flags      uint32
	Entry      uint64 // virtual address

	ProgramOffset uint64
	ProgramSize   uint16 // of one entry
	ProgramCount  uint16

	SectionOffset uint64
	SectionSize   uint16 // of one entry
	SectionCount  uint16 // 0 with a non-zero SectionOffset: see section 0
	SectionNames  uint16 // index of the section that holds the names
}

// ByteOrder is the order in which the file's numbers are written.
func (h Header) ByteOrder() binary.ByteOrder {
	if h.Data == elf.ELFDATA2MSB {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// ReadHeader reads the header at offset 0. The error is ErrNotELF, one that
// wraps ErrMalformed, or that of r.
func ReadHeader(r io.ReaderAt) (Header, error) {
	var buf [HeaderSize]byte
	n, err := r.ReadAt(buf[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Header{}, fmt.Errorf("read ELF header: %w", err)
	}
	return ParseHeader(buf[:n])
}

// ParseHeader is ReadHeader for the first bytes of a file, of which it looks
// at no more than HeaderSize.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < elf.EI_NIDENT || !bytes.HasPrefix(b, []byte(elf.ELFMAG)) {
		return Header{}, ErrNotELF
	}
	h := Header{
		Class:      elf.Class(b[elf.EI_CLASS]),
		Data:       elf.Data(b[elf.EI_DATA]),
		OSABI:      elf.OSABI(b[elf.EI_OSABI]),
		ABIVersion: b[elf.EI_ABIVERSION],
	}
	switch {
	case h.Class != elf.ELFCLASS32 && h.Class != elf.ELFCLASS64:
		return Header{}, fmt.Errorf("class %d: %w", b[elf.EI_CLASS], ErrMalformed)
	case h.Data != elf.ELFDATA2LSB && h.Data != elf.ELFDATA2MSB:
		return Header{}, fmt.Errorf("byte order %d: %w", b[elf.EI_DATA], ErrMalformed)
	case b[elf.EI_VERSION] != byte(elf.EV_CURRENT):
		return Header{}, fmt.Errorf("version %d: %w", b[elf.EI_VERSION], ErrMalformed)
	case len(b) < h.size():
		return Header{}, fmt.Errorf("header of %d bytes: %w", len(b), ErrMalformed)
	}
	h.decode(b)
	return h, nil
}

func (h Header) size() int {
	if h.Class == elf.ELFCLASS32 {
		return header32Size
	}
	return HeaderSize
}

// decode reads the fields behind e_ident; b is long enough.
func (h *Header) decode(b []byte) {
	order := h.ByteOrder()
	h.Type = elf.Type(order.Uint16(b[16:]))
	h.Machine = elf.Machine(order.Uint16(b[18:]))
	rest := b[36:]
	if h.Class == elf.ELFCLASS32 {
		h.Entry = uint64(order.Uint32(b[24:]))
		h.ProgramOffset = uint64(order.Uint32(b[28:]))
		h.SectionOffset = uint64(order.Uint32(b[32:]))
	} else {
		h.Entry = order.Uint64(b[24:])
		h.ProgramOffset = order.Uint64(b[32:])
		h.SectionOffset = order.Uint64(b[40:])
		rest = b[48:]
	}
	h.Flags = order.Uint32(rest)
	h.ProgramSize = order.Uint16(rest[6:])
	h.ProgramCount = order.Uint16(rest[8:])
	h.SectionSize = order.Uint16(rest[10:])
	h.SectionCount = order.Uint16(rest[12:])
	h.SectionNames = order.Uint16(rest[14:])
}
