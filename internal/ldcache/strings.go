package ldcache

import (
	"cmp"
	"slices"
	"strings"
)

// stringTable is the text of a cache and where in it each string starts.
type stringTable struct {
	text    []byte
	offsets map[string]uint32
}

// sharedStrings lays out each distinct string once, NUL-terminated, and a
// string that is the tail of another one inside that one.
func sharedStrings(all []string) stringTable {
	all = slices.Clone(all)
	slices.SortFunc(all, compareReversed)
	all = slices.Compact(all)
	t := stringTable{offsets: make(map[string]uint32, len(all))}
	var previous string
	for i, s := range all {
		if i > 0 && strings.HasSuffix(previous, s) {
			t.offsets[s] = t.offsets[previous] + uint32(len(previous)-len(s))
		} else {
			t.offsets[s] = uint32(len(t.text))
			t.text = append(append(t.text, s...), 0)
		}
		previous = s
	}
	return t
}

// compareReversed orders strings by their last byte first, descending, and the
// longer of two with a common tail before the shorter.
func compareReversed(a, b string) int {
	for i := 1; i <= min(len(a), len(b)); i++ {
		if c := cmp.Compare(b[len(b)-i], a[len(a)-i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(b), len(a))
}
