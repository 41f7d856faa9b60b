package elfimage

import (
	"debug/elf"
	"fmt"
)

// Section is a section header with its name. All numbers are in bytes.
type Section struct {
	Name   string
	Type   elf.SectionType
	Flags  elf.SectionFlag
	Addr   uint64
	Offset uint64
	Size   uint64
	Align  uint64
}

// Sections reads the section headers, nil when the file has none (they are
// often stripped). A section's extent is not checked against the file's size.
func (m *Image) Sections() ([]Section, error) {
	if m.SectionOffset == 0 {
		return nil, nil
	}
	entry := uint64(40)
	if m.Class == elf.ELFCLASS64 {
		entry = 64
	}
	if uint64(m.SectionSize) != entry {
		return nil, fmt.Errorf("section header of %d bytes: %w", m.SectionSize, ErrMalformed)
	}
	count, names := uint64(m.SectionCount), uint32(m.SectionNames)
	if count == 0 || names == uint32(elf.SHN_XINDEX) {
		first, err := m.span("section header 0", m.SectionOffset, entry, entry)
		if err != nil {
			return nil, err
		}
		size, link := m.sectionZero(first)
		if count == 0 {
			count = min(size, maxSectionTable) // span refuses the product
		}
		if names == uint32(elf.SHN_XINDEX) {
			names = link
		}
	}
	table, err := m.span("section headers", m.SectionOffset, count*entry, maxSectionTable)
	if err != nil {
		return nil, err
	}
	return m.nameSections(table, entry, names)
}

// sectionZero gives the fields of section 0 that stand for numbers that do not
// fit into the ELF header: sh_size and sh_link.
func (m *Image) sectionZero(b []byte) (size uint64, link uint32) {
	order := m.ByteOrder()
	if m.Class == elf.ELFCLASS32 {
		return uint64(order.Uint32(b[20:])), order.Uint32(b[24:])
	}
	return order.Uint64(b[32:]), order.Uint32(b[40:])
}

func (m *Image) nameSections(table []byte, entry uint64, names uint32) ([]Section, error) {
	count := uint64(len(table)) / entry
	sections := make([]Section, count)
	index := make([]uint32, count)
	for i := range sections {
		sections[i], index[i] = m.decodeSection(table[uint64(i)*entry:])
	}
	if uint64(names) >= count {
		return sections, nil
	}
	s := sections[names]
	if s.Type == elf.SHT_NOBITS || s.Offset > m.size || s.Size > m.size-s.Offset {
		return nil, fmt.Errorf("section names at %d, %d bytes: %w", s.Offset, s.Size, ErrMalformed)
	}
	budget := maxStrings
	for i := range sections {
		name, err := m.stringAt(extent{s.Offset, s.Size}, uint64(index[i]))
		if err != nil {
			return nil, fmt.Errorf("name of section %d: %w", i, err)
		}
		if budget -= len(name); budget < 0 {
			return nil, fmt.Errorf("over %d bytes of section names: %w", maxStrings, ErrMalformed)
		}
		sections[i].Name = name
	}
	return sections, nil
}

func (m *Image) decodeSection(b []byte) (Section, uint32) {
	order := m.ByteOrder()
	s := Section{Type: elf.SectionType(order.Uint32(b[4:]))}
	if m.Class == elf.ELFCLASS32 {
		s.Flags = elf.SectionFlag(order.Uint32(b[8:]))
		s.Addr = uint64(order.Uint32(b[12:]))
		s.Offset = uint64(order.Uint32(b[16:]))
		s.Size = uint64(order.Uint32(b[20:]))
		s.Align = uint64(order.Uint32(b[32:]))
	} else {
		s.Flags = elf.SectionFlag(order.Uint64(b[8:]))
		s.Addr = order.Uint64(b[16:])
		s.Offset = order.Uint64(b[24:])
		s.Size = order.Uint64(b[32:])
		s.Align = order.Uint64(b[48:])
	}
	return s, order.Uint32(b)
}
