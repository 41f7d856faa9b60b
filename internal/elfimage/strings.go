package elfimage

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

const (
	minText   = 3       // bytes of the shortest string worth yielding
	maxText   = 8 << 10 // bytes of the longest
	textChunk = 64 << 10
)

// Strings yields the strings of the read-only data with their offsets in the
// file, in the order of the file's sections, until yield returns false. A
// string is a run of 3 to 8192 bytes of printable ASCII, tabs and newlines that
// ends with a NUL, and starts behind a byte of another kind. Where one string
// is the tail of another only the longer one is seen.
//
// Read-only data are .rodata*, .dynstr and .data.rel.ro*; in a file without
// usable section headers the PT_LOAD segments that can be neither written nor
// executed, and, if there are none, those that can't be written.
func (m *Image) Strings(yield func(off int64, s string) bool) error {
	buf := make([]byte, textChunk)
	for _, e := range m.readOnly() {
		more, err := m.scanText(e, buf, yield)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// readOnly are the parts of the file that hold constants.
func (m *Image) readOnly() []extent {
	var parts []extent
	sections, _ := m.Sections() // malformed ones are ignored, as the kernel does
	for _, s := range sections {
		if s.Type != elf.SHT_NOBITS && readOnlySection(s.Name) {
			parts = m.addExtent(parts, s.Offset, s.Size)
		}
	}
	if parts != nil {
		return parts
	}
	if parts = m.loaded(elf.PF_W | elf.PF_X); parts != nil {
		return parts
	}
	return m.loaded(elf.PF_W)
}

func readOnlySection(name string) bool {
	return name == ".dynstr" || name == ".rodata" || strings.HasPrefix(name, ".rodata.") ||
		name == ".data.rel.ro" || strings.HasPrefix(name, ".data.rel.ro.")
}

// loaded are the PT_LOAD segments that have none of the flags without.
func (m *Image) loaded(without elf.ProgFlag) (parts []extent) {
	for _, s := range m.Segments {
		if s.Type == elf.PT_LOAD && s.Flags&without == 0 {
			parts = m.addExtent(parts, s.Offset, s.Filesz)
		}
	}
	return parts
}

// addExtent appends the part that lies in the file and was not there already:
// a file that names one section a thousand times is read once.
func (m *Image) addExtent(parts []extent, off, size uint64) []extent {
	if off >= m.size || off > math.MaxInt64 {
		return parts
	}
	size = min(size, m.size-off)
	for _, p := range parts {
		if off < p.off+p.size && p.off < off+size {
			return parts
		}
	}
	if size == 0 {
		return parts
	}
	return append(parts, extent{off, size})
}

// scanText looks through one part. more is false when yield had enough.
func (m *Image) scanText(e extent, buf []byte, yield func(int64, string) bool) (more bool, err error) {
	kept := 0 // bytes of an unfinished string at the start of buf
	for done := uint64(0); done < e.size; {
		b := buf[:kept+int(min(uint64(len(buf)-kept), e.size-done))]
		n, err := m.r.ReadAt(b[kept:], int64(e.off+done))
		if n == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				return true, nil // shorter than its header says
			}
			return false, fmt.Errorf("read strings: %w", err)
		}
		b = b[:kept+n]
		base := int64(e.off+done) - int64(kept)
		done += uint64(n)
		start := 0
		for i := kept; i < len(b); i++ {
			if printable(b[i]) {
				continue
			}
			if length := i - start; b[i] == 0 && length >= minText && length <= maxText {
				if !yield(base+int64(start), string(b[start:i])) {
					return false, nil
				}
			}
			start = i + 1
		}
		kept = copy(buf, b[max(start, len(b)-maxText-1):])
	}
	return true, nil
}

func printable(c byte) bool { return c >= 0x20 && c < 0x7f || c == '\n' || c == '\t' }
