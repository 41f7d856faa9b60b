package elfimage

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"math"
)

// DynamicEntry is one entry of the dynamic section: a tag and its number.
type DynamicEntry struct {
	Tag   elf.DynTag
	Value uint64
}

// dynamic is what the dynamic section says.
type dynamic struct {
	present bool
	needed  []string
	soname  string
	rpath   string
	runpath string
}

// Dynamic says whether there is a dynamic section (PT_DYNAMIC): false for a
// program that is linked statically and not position independent.
func (m *Image) Dynamic() bool { return m.dynamic.present }

// Needed are the libraries that are asked for (DT_NEEDED), in order. The
// caller must not change the slice.
func (m *Image) Needed() []string { return m.dynamic.needed }

// Soname is the library's own name (DT_SONAME), "" without one.
func (m *Image) Soname() string { return m.dynamic.soname }

// RPath is DT_RPATH, a colon-separated list of directories, "" without one.
func (m *Image) RPath() string { return m.dynamic.rpath }

// RunPath is DT_RUNPATH, a colon-separated list of directories, "" without one.
func (m *Image) RunPath() string { return m.dynamic.runpath }

// DynamicEntries reads the dynamic section up to DT_NULL; nil without one.
func (m *Image) DynamicEntries() ([]DynamicEntry, error) {
	s, ok := m.Segment(elf.PT_DYNAMIC)
	if !ok || s.Filesz == 0 {
		return nil, nil
	}
	b, err := m.span("dynamic section", s.Offset, s.Filesz, maxDynamic)
	if err != nil {
		return nil, err
	}
	order, word := m.ByteOrder(), 4
	if m.Class == elf.ELFCLASS64 {
		word = 8
	}
	entries := make([]DynamicEntry, 0, min(len(b)/(2*word), 64))
	for ; len(b) >= 2*word; b = b[2*word:] {
		var e DynamicEntry
		if word == 4 {
			e = DynamicEntry{elf.DynTag(int32(order.Uint32(b))), uint64(order.Uint32(b[4:]))}
		} else {
			e = DynamicEntry{elf.DynTag(int64(order.Uint64(b))), order.Uint64(b[8:])}
		}
		if e.Tag == elf.DT_NULL {
			break
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func (m *Image) readDynamic() error {
	entries, err := m.DynamicEntries()
	if err != nil || entries == nil {
		return err
	}
	m.dynamic.present = true
	table, found := m.stringTable(entries)
	budget := maxStrings
	for _, e := range entries {
		switch e.Tag {
		case elf.DT_NEEDED, elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH:
		default:
			continue
		}
		if !found {
			return fmt.Errorf("dynamic section without string table: %w", ErrMalformed)
		}
		s, err := m.stringAt(table, e.Value)
		if err != nil {
			return err
		}
		if budget -= len(s) + 16; budget < 0 {
			return fmt.Errorf("dynamic section with over %d bytes of names: %w", maxStrings, ErrMalformed)
		}
		m.dynamic.set(e.Tag, s)
	}
	return nil
}

// set records a name; of several sonames or paths the last one counts, as it
// does for the loader.
func (d *dynamic) set(tag elf.DynTag, s string) {
	switch tag {
	case elf.DT_NEEDED:
		d.needed = append(d.needed, s)
	case elf.DT_SONAME:
		d.soname = s
	case elf.DT_RPATH:
		d.rpath = s
	case elf.DT_RUNPATH:
		d.runpath = s
	}
}

// extent is a part of the file that lies inside it.
type extent struct{ off, size uint64 }

// stringTable finds DT_STRTAB in the file. Without DT_STRSZ it reaches to the
// end of the file.
func (m *Image) stringTable(entries []DynamicEntry) (extent, bool) {
	var vaddr, size uint64
	for _, e := range entries {
		switch e.Tag {
		case elf.DT_STRTAB:
			vaddr = e.Value
		case elf.DT_STRSZ:
			size = e.Value
		}
	}
	off, ok := m.FileOffset(vaddr)
	if !ok {
		return extent{}, false
	}
	if room := m.size - off; size == 0 || size > room {
		size = room
	}
	return extent{off, size}, true
}

// stringAt reads the NUL-terminated string at index of a table.
func (m *Image) stringAt(table extent, index uint64) (string, error) {
	if index >= table.size {
		return "", fmt.Errorf("string %d of a table of %d bytes: %w", index, table.size, ErrMalformed)
	}
	off := table.off + index
	if off > math.MaxInt64 {
		return "", fmt.Errorf("string at %d: %w", off, ErrMalformed)
	}
	var short [64]byte
	for limit := uint64(len(short)); ; limit = maxString {
		b := short[:]
		if limit > uint64(len(short)) {
			b = make([]byte, limit)
		}
		b = b[:min(limit, table.size-index)]
		n, err := m.r.ReadAt(b, int64(off))
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read string: %w", err)
		}
		if end := bytes.IndexByte(b[:n], 0); end >= 0 {
			return string(b[:end]), nil
		}
		if limit == maxString {
			return "", fmt.Errorf("string at %d without end: %w", off, ErrMalformed)
		}
	}
}
