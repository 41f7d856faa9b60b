package ldcache

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
)

// CompareNames orders library names as the loader does in its binary search:
// runs of digits by their value, a digit after anything else, other bytes by
// their value (glibc, elf/dl-cache.c, _dl_cache_libcmp).
func CompareNames(a, b string) int {
	i, j := 0, 0
	for i < len(a) {
		ca, cb := a[i], at(b, j)
		switch {
		case isDigit(ca) && isDigit(cb):
			va, ni := number(a, i)
			vb, nj := number(b, j)
			if va != vb {
				return cmp.Compare(va, vb)
			}
			i, j = ni, nj
		case isDigit(ca):
			return 1
		case isDigit(cb):
			return -1
		case ca != cb:
			return cmp.Compare(ca, cb)
		default:
			i, j = i+1, j+1
		}
	}
	return -cmp.Compare(at(b, j), 0)
}

// at is the byte that C would see: a NUL at the end.
func at(s string, i int) byte {
	if i < len(s) {
		return s[i]
	}
	return 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number reads the digits at i, with the overflow of a 32-bit int.
func number(s string, i int) (int32, int) {
	var v int32
	for ; i < len(s) && isDigit(s[i]); i++ {
		v = v*10 + int32(s[i]-'0')
	}
	return v, i
}

// sorted puts entries into the order of the file: names and flags descending,
// glibc-hwcaps before others, then the most demanding first. Equal ones stay
// as they were found.
func sorted(entries []Entry) []Entry {
	entries = slices.Clone(entries)
	slices.SortStableFunc(entries, compareEntries)
	return entries
}

func compareEntries(a, b Entry) int {
	if c := CompareNames(b.Name, a.Name); c != 0 {
		return c
	}
	if c := cmp.Compare(int32(b.Flags), int32(a.Flags)); c != 0 {
		return c
	}
	switch {
	case a.Subdir != "" && b.Subdir == "":
		return -1
	case a.Subdir == "" && b.Subdir != "":
		return 1
	}
	if c := strings.Compare(a.Subdir, b.Subdir); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(bits.OnesCount64(b.Hwcap), bits.OnesCount64(a.Hwcap)),
		cmp.Compare(b.Hwcap, a.Hwcap),
		cmp.Compare(b.OSVersion, a.OSVersion),
	)
}
