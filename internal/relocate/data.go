package relocate

import (
	"debug/elf"
	"strings"

	"github.com/crossroot/crossroot/internal/elfimage"
)

// extent is a part of the file: bytes from off up to, not including, end.
type extent struct{ off, end int }

// data are the parts of the file that are loaded and hold data, not code, in
// which a string may stand. Without usable section headers these are the
// segments that can be neither written nor executed; in an old file that has
// none of those, the ones that can't be written.
func data(image *elfimage.Image, b []byte) []extent {
	sections, _ := image.Sections() // malformed ones are ignored, as the kernel does
	var parts []extent
	for _, s := range sections {
		if s.Flags&elf.SHF_ALLOC != 0 && s.Flags&elf.SHF_EXECINSTR == 0 && holdsStrings(s) {
			parts = appendExtent(parts, s.Offset, s.Size, len(b))
		}
	}
	if parts != nil {
		return parts
	}
	if parts = loaded(image, elf.PF_W|elf.PF_X, len(b)); parts != nil {
		return parts
	}
	return loaded(image, elf.PF_W, len(b))
}

// holdsStrings: initialised data, but neither .interp, which has a rule of its
// own, nor the tables that unwinding reads.
func holdsStrings(s elfimage.Section) bool {
	switch {
	case s.Type == elf.SHT_STRTAB:
		return s.Name == ".dynstr"
	case s.Type != elf.SHT_PROGBITS, s.Name == ".interp", s.Name == ".gcc_except_table":
		return false
	}
	return !strings.HasPrefix(s.Name, ".eh_frame")
}

func loaded(image *elfimage.Image, without elf.ProgFlag, size int) (parts []extent) {
	for _, s := range image.Segments {
		if s.Type == elf.PT_LOAD && s.Flags&without == 0 {
			parts = appendExtent(parts, s.Offset, s.Filesz, size)
		}
	}
	return parts
}

// code are the parts that can be executed.
func code(image *elfimage.Image, b []byte) (parts []extent) {
	for _, s := range image.Segments {
		if s.Type == elf.PT_LOAD && s.Flags&elf.PF_X != 0 {
			parts = appendExtent(parts, s.Offset, s.Filesz, len(b))
		}
	}
	return parts
}

// appendExtent cuts the part to the file and drops it when it overlaps another:
// a hostile file may name the same bytes thousands of times.
func appendExtent(parts []extent, off, length uint64, size int) []extent {
	if off >= uint64(size) || length == 0 {
		return parts
	}
	e := extent{int(off), int(off + min(length, uint64(size)-off))}
	for _, p := range parts {
		if e.off < p.end && p.off < e.end {
			return parts
		}
	}
	return append(parts, e)
}
