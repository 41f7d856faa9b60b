package relocate

import (
	"cmp"
	"errors"
	"slices"
)

// ErrDoesNotFit says that the new text is longer than the old one.
var ErrDoesNotFit = errors.New("new text is longer than the old")

// editor writes into a file and remembers what it wrote.
type editor struct {
	b       []byte
	changes []Change
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
	e.changes = append(e.changes, Change{int64(off), old, text})
}

func (e *editor) sorted() []Change {
	slices.SortStableFunc(e.changes, func(a, b Change) int { return cmp.Compare(a.Offset, b.Offset) })
	return e.changes
}
