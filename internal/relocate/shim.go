package relocate

import (
	"debug/elf"
	"fmt"
	"strings"

	"github.com/crossroot/crossroot/internal/elfimage"
)

// Shim is the name of the library that a relocated python needs in place of the
// first library that it needed, and which must need that one (package dlshim):
// the end of its name, "m.so.6" for "libm.so.6", so that the name is there
// already. ok is false where that is not possible.
func Shim(needed []string) (name string, ok bool) {
	if len(needed) == 0 || strings.Contains(needed[0], "/") {
		return "", false
	}
	return strings.CutPrefix(needed[0], shimCut)
}

const shimCut = "lib"

// shim makes the file need the shim.
func (e *editor) shim(image *elfimage.Image) error {
	name, ok := Shim(image.Needed())
	s, dynamic := image.Segment(elf.PT_DYNAMIC)
	if !ok || !dynamic || image.Class != elf.ELFCLASS64 || image.Data != elf.ELFDATA2LSB {
		return fmt.Errorf("a library before the first one: %w", ErrDoesNotFit)
	}
	const size = 16
	for off := int(s.Offset); off <= min(int(s.Offset+s.Filesz), len(e.b))-size; off += size {
		if elf.DynTag(e.word(off)) == elf.DT_NEEDED {
			e.putNumber(off+8, 8, e.word(off+8)+uint64(len(shimCut)))
			return nil
		}
	}
	return fmt.Errorf("need %s: %w", name, ErrDoesNotFit)
}
