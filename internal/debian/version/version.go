// Package version orders versions of Debian packages as dpkg does.
//
// It promises the order of deb-version(7) for every pair of strings, also for those that are no versions, and never
// fails or allocates while comparing. It must not know where versions come from.
package version

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Version is a version in parts, [EPOCH:]UPSTREAM[-REVISION].
type Version struct {
	Epoch              int
	Upstream, Revision string
}

// String is the version as it is written; an epoch of 0 only where a colon would be taken for the end of one.
func (v Version) String() string {
	s := v.Upstream
	if v.Epoch != 0 || strings.Contains(s, ":") {
		s = strconv.Itoa(v.Epoch) + ":" + s
	}
	if v.Revision != "" {
		s += "-" + v.Revision
	}
	return s
}

// ErrVersion is what the errors of Parse wrap.
var ErrVersion = errors.New("not a Debian version")

// Parse takes a version apart; blanks around it don't count. It refuses what dpkg refuses or warns of: an epoch that is
// no number up to 2147483647, an empty part, an upstream version that doesn't begin with a digit, characters other than
// letters, digits and .+~ (in the upstream version also - and :).
func Parse(s string) (Version, error) {
	s = strings.Trim(s, " \t\n\v\f\r")
	epoch, upstream, revision := split(s)
	v := Version{Upstream: upstream, Revision: revision}
	bad := func(why string) (Version, error) { return Version{}, fmt.Errorf("%w: %q: %s", ErrVersion, s, why) }
	if epoch != "" || strings.HasPrefix(s, ":") {
		n, err := strconv.ParseUint(epoch, 10, 31)
		if err != nil {
			return bad("its epoch is not a number up to 2147483647")
		}
		v.Epoch = int(n)
	}
	switch {
	case upstream == "":
		return bad("no upstream version")
	case strings.HasSuffix(s, "-"):
		return bad("an empty revision")
	case !digit(upstream[0]):
		return bad("it doesn't begin with a digit")
	case !only(upstream, ".-+~:"):
		return bad("a character that has no place in the upstream version")
	case !only(revision, ".+~"):
		return bad("a character that has no place in the revision")
	}
	return v, nil
}

// Tolerable says whether it can stand for a version although Parse may refuse it: dpkg only warns of characters that have
// no place there. Blanks, slashes and control characters can't, nor more than 200 bytes.
func Tolerable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '/' {
			return false
		}
	}
	return s != "" && len(s) <= 200
}

// split cuts at the first colon and at the last hyphen.
func split(s string) (epoch, upstream, revision string) {
	if i := strings.IndexByte(s, ':'); i >= 0 {
		epoch, s = s[:i], s[i+1:]
	}
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		s, revision = s[:i], s[i+1:]
	}
	return epoch, s, revision
}

func only(s, more string) bool {
	for i := 0; i < len(s); i++ {
		if !digit(s[i]) && !letter(s[i]) && strings.IndexByte(more, s[i]) < 0 {
			return false
		}
	}
	return true
}

// Upstream is a version without epoch and revision.
func Upstream(s string) string {
	_, upstream, _ := split(s)
	return upstream
}

// Compare is negative when a is the older version, positive when it is the newer one, 0 when they are equal (1.0 and
// 0:1.0-0 are).
func Compare(a, b string) int {
	ae, au, ar := split(a)
	be, bu, br := split(b)
	// Epochs are numbers, and compare as the text does: zeros in front don't count, and none is 0.
	if c := compare(ae, be); c != 0 {
		return c
	}
	if c := compare(au, bu); c != 0 {
		return c
	}
	return compare(ar, br)
}

// compare compares upstream versions or revisions: stretches of non-digits by order, stretches of digits by value, in
// turns (deb-version(7), "sorting algorithm").
func compare(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !digit(a[0]) || b != "" && !digit(b[0]) {
			if c := order(a) - order(b); c != 0 {
				return c
			}
			// Both have the same order, which for two non-digits means the same character.
			a, b = a[1:], b[1:]
		}
		var na, nb string
		na, a = number(a)
		nb, b = number(b)
		if c := len(na) - len(nb); c != 0 {
			return c
		}
		if c := strings.Compare(na, nb); c != 0 {
			return c
		}
	}
	return 0
}

// number cuts the digits off, without zeros in front.
func number(s string) (digits, rest string) {
	i := 0
	for i < len(s) && digit(s[i]) {
		i++
	}
	return strings.TrimLeft(s[:i], "0"), s[i:]
}

// order is the rank of the first character: tilde, end or digit, letters, the rest.
func order(s string) int {
	switch {
	case s == "" || digit(s[0]):
		return 0
	case letter(s[0]):
		return int(s[0])
	case s[0] == '~':
		return -1
	}
	return int(s[0]) + 256
}

func digit(c byte) bool  { return '0' <= c && c <= '9' }
func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// SameSource says whether two versions are of the same source: equal but for +bN, which counts the times that the same
// source was built again, by architecture.
func SameSource(a, b string) bool { return Compare(withoutRebuild(a), withoutRebuild(b)) == 0 }

// withoutRebuild is a version without the +bN at its end.
func withoutRebuild(v string) string {
	i := strings.LastIndex(v, "+b")
	if i < 0 || i+2 == len(v) || strings.Trim(v[i+2:], "0123456789") != "" {
		return v
	}
	return v[:i]
}
