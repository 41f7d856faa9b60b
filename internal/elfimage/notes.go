package elfimage

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"fmt"
)

// Note is one note of a PT_NOTE or PT_GNU_PROPERTY segment. Name is without
// its NUL; Desc is as in the file.
type Note struct {
	Name string
	Type uint32
	Desc []byte
}

// Types of notes named "GNU" (glibc, elf.h).
const (
	NoteABITag   = 1
	NoteBuildID  = 3
	NoteProperty = 5
)

// ABI is the content of a .note.ABI-tag: the system (0 is Linux) and the
// oldest kernel version that the file runs on.
type ABI struct {
	OS     uint32
	Kernel [3]uint32
}

// Notes yields the notes of each PT_NOTE segment until yield returns false.
// A segment that is malformed or over 64 KiB ends at its first bad note.
func (m *Image) Notes(yield func(Note) bool) error { return m.notesIn(elf.PT_NOTE, yield) }

// PropertyNotes is Notes for PT_GNU_PROPERTY segments.
func (m *Image) PropertyNotes(yield func(Note) bool) error {
	return m.notesIn(elf.PT_GNU_PROPERTY, yield)
}

func (m *Image) notesIn(t elf.ProgType, yield func(Note) bool) error {
	for _, s := range m.Segments {
		if s.Type != t {
			continue
		}
		b, err := m.span("notes", s.Offset, min(s.Filesz, maxNotes), maxNotes)
		if err != nil {
			return err
		}
		if !m.scanNotes(b, s.Align, yield) {
			return nil
		}
	}
	return nil
}

func (m *Image) scanNotes(b []byte, align uint64, yield func(Note) bool) (more bool) {
	order := m.ByteOrder()
	if align != 8 {
		align = 4
	}
	pad := func(n uint64) uint64 { return (n + align - 1) &^ (align - 1) }
	for uint64(len(b)) >= 12 {
		nameSize, descSize := uint64(order.Uint32(b)), uint64(order.Uint32(b[4:]))
		descAt := pad(12 + nameSize)
		if descAt > uint64(len(b)) || descSize > uint64(len(b))-descAt {
			return true
		}
		n := Note{
			Name: string(bytes.TrimRight(b[12:12+nameSize], "\x00")),
			Type: order.Uint32(b[8:]),
			Desc: b[descAt : descAt+descSize],
		}
		if !yield(n) {
			return false
		}
		b = b[min(pad(descAt+descSize), uint64(len(b))):]
	}
	return true
}

// gnuNote is the first note of the name "GNU" and the given type.
func (m *Image) gnuNote(kind uint32) (desc []byte) {
	_ = m.Notes(func(n Note) bool { // a malformed note is no note
		if n.Name == "GNU" && n.Type == kind {
			desc = n.Desc
			return false
		}
		return true
	})
	return desc
}

// ABI reads the NT_GNU_ABI_TAG note.
func (m *Image) ABI() (ABI, bool) {
	b := m.gnuNote(NoteABITag)
	if len(b) < 16 {
		return ABI{}, false
	}
	o := m.ByteOrder()
	return ABI{o.Uint32(b), [3]uint32{o.Uint32(b[4:]), o.Uint32(b[8:]), o.Uint32(b[12:])}}, true
}

// BuildID is the NT_GNU_BUILD_ID note in hexadecimal, "" without one.
func (m *Image) BuildID() string {
	b := m.gnuNote(NoteBuildID)
	if len(b) > 64 {
		return ""
	}
	return hex.EncodeToString(b)
}

// String is the form "Linux 3.2.0" that file(1) prints.
func (a ABI) String() string {
	system := "Linux"
	if a.OS != 0 {
		system = fmt.Sprintf("system %d", a.OS)
	}
	return fmt.Sprintf("%s %d.%d.%d", system, a.Kernel[0], a.Kernel[1], a.Kernel[2])
}
