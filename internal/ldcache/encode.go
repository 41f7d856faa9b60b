package ldcache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Encode returns the file. It fails on a cache of over 4 GiB, on names with a
// NUL in them, and on an ISA level over 1023.
func (c *Cache) Encode() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	e := encoder{Cache: c, sorted: sorted(c.Entries)}
	if c.Classic {
		e.layOutClassic()
	} else {
		e.layOutShared()
	}
	return e.assemble(), nil
}

func (c *Cache) check() error {
	total := 0
	for _, e := range c.Entries {
		total += len(e.Name) + len(e.Path) + len(e.Subdir) + 2 + 2*entryNew
		if bytes.IndexByte([]byte(e.Name+e.Path+e.Subdir), 0) >= 0 {
			return fmt.Errorf("encode %q: NUL in a name", e.Path)
		}
		if e.ISALevel > maxISALevel {
			return fmt.Errorf("%s: ISA level is too high (%d > %d)", e.Path, e.ISALevel, maxISALevel)
		}
	}
	if total > math.MaxInt32 {
		return fmt.Errorf("encode library cache: %d bytes are too many", total)
	}
	return nil
}

// place is where the strings of an entry start, counted from the first string.
type place struct{ name, path uint32 }

type encoder struct {
	*Cache
	sorted  []Entry
	places  []place // of sorted
	text    []byte
	subdirs []string // of glibc-hwcaps, those in use, sorted
	names   []uint32 // where the strings of subdirs start
}

// layOutClassic writes name and path of each entry, nothing shared.
func (e *encoder) layOutClassic() {
	for _, entry := range e.sorted {
		name := uint32(len(e.text))
		e.text = append(append(e.text, entry.Name...), 0)
		path := uint32(len(e.text))
		e.text = append(append(e.text, entry.Path...), 0)
		e.places = append(e.places, place{name, path})
	}
}

func (e *encoder) layOutShared() {
	all := slices.Clone(e.Unused)
	for _, entry := range e.sorted {
		all = append(all, entry.Name, entry.Path)
		if entry.Subdir != "" {
			all = append(all, entry.Subdir)
			e.subdirs = append(e.subdirs, entry.Subdir)
		}
	}
	slices.Sort(e.subdirs)
	e.subdirs = slices.Compact(e.subdirs)
	table := sharedStrings(all)
	e.text = table.text
	for _, entry := range e.sorted {
		e.places = append(e.places, place{table.offsets[entry.Name], table.offsets[entry.Path]})
	}
	for _, s := range e.subdirs {
		e.names = append(e.names, table.offsets[s])
	}
}

func (e *encoder) assemble() []byte {
	var out []byte
	newSize := uint32(0)
	if e.Format != Old {
		newSize = uint32(headerNew + len(e.sorted)*entryNew)
	}
	if e.Format != New {
		out = e.oldTable(newSize)
	}
	if e.Format == Old {
		return append(out, e.text...)
	}
	end := len(out) + int(newSize) + len(e.text)
	extension := 0
	if !e.Classic {
		extension = (end + 3) &^ 3
	}
	out = e.newTable(out, newSize, uint32(extension))
	out = append(out, e.text...)
	if e.Classic {
		return out
	}
	out = append(out, make([]byte, extension-end)...)
	return e.extensions(out, newSize)
}

// oldTable has the entries without hwcaps. Where the new table follows, their
// number is made even, so that it is aligned everywhere.
func (e *encoder) oldTable(text uint32) []byte {
	var libs []byte
	count := uint32(0)
	for i, entry := range e.sorted {
		if entry.Hwcap != 0 {
			continue
		}
		libs = e.append32(libs, entry.Flags, text+e.places[i].name, text+e.places[i].path)
		count++
	}
	if e.Format == Compat && count%2 == 1 {
		libs = append(libs, libs[len(libs)-entryOld:]...)
		count++
	}
	out := append([]byte(magicOld), 0)
	out = e.append32(out, count)
	return append(out, libs...)
}

func (e *encoder) newTable(out []byte, text, extension uint32) []byte {
	out = append(out, magicNew...)
	out = e.append32(out, uint32(len(e.sorted)), uint32(len(e.text)))
	endian := byte(0)
	if !e.Unstated {
		endian = endianLittle
		if isBig(e.Order) {
			endian = endianBig
		}
	}
	out = append(out, endian, 0, 0, 0)
	out = e.append32(out, extension, 0, 0, 0)
	for i, entry := range e.sorted {
		out = e.append32(out, entry.Flags, text+e.places[i].name, text+e.places[i].path, entry.OSVersion)
		out = e.append64(out, e.hwcap(entry))
	}
	return out
}

func (e *encoder) hwcap(entry Entry) uint64 {
	if entry.Subdir == "" || e.Classic {
		return entry.Hwcap
	}
	index, _ := slices.BinarySearch(e.subdirs, entry.Subdir)
	return extensionBit | uint64(entry.ISALevel)<<32 | uint64(index)
}

// extensions follow the strings: a directory, the glibc-hwcaps names, the
// generator.
func (e *encoder) extensions(out []byte, text uint32) []byte {
	data := uint32(len(out) + extensionHeader + extensionSection)
	sections := uint32(1)
	if len(e.names) > 0 {
		data += extensionSection
		sections = 2
	}
	hwcaps := uint32(4 * len(e.names))
	out = e.append32(out, extensionMagic, sections)
	out = e.append32(out, tagGenerator, 0, data+hwcaps, uint32(len(e.Generator)))
	if sections == 2 {
		out = e.append32(out, tagHwcaps, 0, data, hwcaps)
	}
	for _, at := range e.names {
		out = e.append32(out, text+at)
	}
	return append(out, e.Generator...)
}

func (e *encoder) append32(b []byte, values ...uint32) []byte {
	for _, v := range values {
		b = e.Order.(binary.AppendByteOrder).AppendUint32(b, v)
	}
	return b
}

func (e *encoder) append64(b []byte, v uint64) []byte {
	return e.Order.(binary.AppendByteOrder).AppendUint64(b, v)
}

func isBig(o binary.ByteOrder) bool { return o.String() == binary.BigEndian.String() }
