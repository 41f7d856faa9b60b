package relocate

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrDoesNotFit says that there is no place for a new text, or that what refers
// to the old one is not known.
var ErrDoesNotFit = errors.New("the text does not fit")

// editor writes into a file and remembers what it wrote.
type editor struct {
	b        []byte
	changes  []Change
	appended map[int]int // segment → bytes put behind it
}

// put replaces old, which stands at off, by text of no more bytes, and fills
// up with NUL. It does nothing when off was rewritten already.
func (e *editor) put(off int, old, text string) {
	if len(text) > len(old) || off < 0 || off > len(e.b)-len(old) || string(e.b[off:off+len(old)]) != old {
		return
	}
	if old == text {
		return
	}
	n := copy(e.b[off:], text)
	clear(e.b[off+n : off+len(old)])
	e.changes = append(e.changes, Change{Offset: int64(off), Old: old, New: text})
}

// putText writes text where nothing was.
func (e *editor) putText(off int, text string) {
	copy(e.b[off:], text)
	e.changes = append(e.changes, Change{Offset: int64(off), New: text})
}

// putNumber replaces a little-endian number of 4 or 8 bytes.
func (e *editor) putNumber(off, size int, value uint64) {
	if off < 0 || off > len(e.b)-size {
		return
	}
	old := uint64(binary.LittleEndian.Uint32(e.b[off:]))
	if size == 8 {
		old = binary.LittleEndian.Uint64(e.b[off:])
		binary.LittleEndian.PutUint64(e.b[off:], value)
	} else {
		value = uint64(uint32(value))
		binary.LittleEndian.PutUint32(e.b[off:], uint32(value))
	}
	c := Change{Offset: int64(off), Old: fmt.Sprintf("%#x", old), New: fmt.Sprintf("%#x", value), Number: size}
	e.changes = append(e.changes, c)
}

func (e *editor) sorted() []Change {
	slices.SortStableFunc(e.changes, func(a, b Change) int { return cmp.Compare(a.Offset, b.Offset) })
	return e.changes
}
