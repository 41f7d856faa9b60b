package ldcache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// Parse reads a cache of any format and byte order. Its memory is bounded by
// the size of b; every offset in it is checked. Errors wrap ErrFormat.
func Parse(b []byte) (*Cache, error) {
	if bytes.HasPrefix(b, []byte(magicNew)) {
		return parseNew(b, 0, New)
	}
	if !bytes.HasPrefix(b, []byte(magicOld)) || len(b) < headerOld {
		return nil, fmt.Errorf("magic number: %w", ErrFormat)
	}
	order, ok := orderOfOld(b)
	if !ok {
		return nil, fmt.Errorf("number of libraries: %w", ErrFormat)
	}
	count := int(order.Uint32(b[12:]))
	end := headerOld + count*entryOld
	if at := (end + 7) &^ 7; at < len(b) && bytes.HasPrefix(b[at:], []byte(magicNew)) {
		return parseNew(b, at, Compat)
	}
	return parseOld(b, order, count)
}

// orderOfOld is the byte order in which the number of entries fits the file.
func orderOfOld(b []byte) (binary.ByteOrder, bool) {
	for _, o := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if uint64(o.Uint32(b[12:]))*entryOld <= uint64(len(b)-headerOld) {
			return o, true
		}
	}
	return nil, false
}

func parseOld(b []byte, order binary.ByteOrder, count int) (*Cache, error) {
	c := &Cache{Order: order, Format: Old, Classic: true, Unstated: true}
	text := string(b[headerOld+count*entryOld:])
	for i := range count {
		e := b[headerOld+i*entryOld:]
		name, path, err := twoStrings(text, order.Uint32(e[4:]), order.Uint32(e[8:]))
		if err != nil {
			return nil, fmt.Errorf("library %d: %w", i, err)
		}
		c.Entries = append(c.Entries, Entry{Flags: order.Uint32(e), Name: name, Path: path})
	}
	return c, nil
}

// parseNew reads the new table at offset at. Its strings count from there, its
// extensions from the start of the file.
func parseNew(file []byte, at int, format Format) (*Cache, error) {
	b := file[at:]
	if len(b) < headerNew {
		return nil, fmt.Errorf("header of %d bytes: %w", len(b), ErrFormat)
	}
	order, ok := orderOfNew(b)
	if !ok {
		return nil, fmt.Errorf("size: %w", ErrFormat)
	}
	c := &Cache{Order: order, Format: format, Classic: order.Uint32(b[32:]) == 0, Unstated: b[28]&3 == 0}
	names, err := c.parseExtensions(file, b, order.Uint32(b[32:]))
	if err != nil {
		return nil, err
	}
	text := string(b)
	for i := range int(order.Uint32(b[20:])) {
		e := b[headerNew+i*entryNew:]
		name, path, err := twoStrings(text, order.Uint32(e[4:]), order.Uint32(e[8:]))
		if err != nil {
			return nil, fmt.Errorf("library %d: %w", i, err)
		}
		entry := Entry{Flags: order.Uint32(e), Name: name, Path: path, OSVersion: order.Uint32(e[12:]), Hwcap: order.Uint64(e[16:])}
		entry.resolve(names)
		c.Entries = append(c.Entries, entry)
	}
	return c, nil
}

// orderOfNew takes the byte order that the header states, or, in files of
// before glibc 2.33, the one in which the sizes fit.
func orderOfNew(b []byte) (binary.ByteOrder, bool) {
	for _, o := range []struct {
		order binary.ByteOrder
		flag  byte
	}{{binary.LittleEndian, endianLittle}, {binary.BigEndian, endianBig}} {
		if stated := b[28] & 3; stated != 0 && stated != o.flag {
			continue
		}
		count, text := uint64(o.order.Uint32(b[20:])), uint64(o.order.Uint32(b[24:]))
		if headerNew+count*entryNew+text <= uint64(len(b)) {
			return o.order, true
		}
	}
	return nil, false
}

// resolve replaces the index of a glibc-hwcaps subdirectory by its name.
func (e *Entry) resolve(names []string) {
	high := e.Hwcap >> 32
	index := e.Hwcap & 0xffffffff
	if high&^maxISALevel == extensionBit>>32 && index < uint64(len(names)) && names[index] != "" {
		e.Subdir, e.ISALevel, e.Hwcap = names[index], uint32(high&maxISALevel), 0
	}
}

// maxExtensions is far more than the two that there are.
const maxExtensions = 16

// parseExtensions reads the generator and the names of glibc-hwcaps
// subdirectories.
func (c *Cache) parseExtensions(file, b []byte, at uint32) (names []string, err error) {
	if at == 0 {
		return nil, nil
	}
	malformed := fmt.Errorf("extensions: %w", ErrFormat)
	if at%4 != 0 || uint64(at)+extensionHeader > uint64(len(file)) || c.Order.Uint32(file[at:]) != extensionMagic {
		return nil, malformed
	}
	count := uint64(c.Order.Uint32(file[at+4:]))
	directory := file[at+extensionHeader:]
	if count > maxExtensions || count*extensionSection > uint64(len(directory)) {
		return nil, malformed
	}
	for i := range count {
		s := directory[i*extensionSection:]
		off, size := uint64(c.Order.Uint32(s[8:])), uint64(c.Order.Uint32(s[12:]))
		if off+size > uint64(len(file)) {
			return nil, malformed
		}
		switch data := file[off : off+size]; c.Order.Uint32(s) {
		case tagGenerator:
			c.Generator = string(data)
		case tagHwcaps:
			names = c.parseSubdirs(string(b), data)
		}
	}
	return names, nil
}

// parseSubdirs gives "" for a name that can't be read.
func (c *Cache) parseSubdirs(text string, data []byte) []string {
	names := make([]string, 0, len(data)/4)
	for ; len(data) >= 4; data = data[4:] {
		name, _ := stringAt(text, c.Order.Uint32(data))
		names = append(names, name)
	}
	return names
}

func twoStrings(text string, i, j uint32) (name, path string, err error) {
	if name, err = stringAt(text, i); err != nil {
		return "", "", err
	}
	path, err = stringAt(text, j)
	return name, path, err
}

// maxName bounds the search for a string's end. The string itself is a part of
// text and costs nothing.
const maxName = 4096

func stringAt(text string, at uint32) (string, error) {
	if uint64(at) >= uint64(len(text)) {
		return "", fmt.Errorf("string %d: %w", at, ErrFormat)
	}
	text = text[at:]
	end := strings.IndexByte(text[:min(len(text), maxName)], 0)
	if end < 0 {
		return "", fmt.Errorf("string %d without end: %w", at, ErrFormat)
	}
	return text[:end], nil
}
