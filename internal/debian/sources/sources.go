// Package sources reads apt's lists of repositories, one-line and deb822 (sources.list(5)).
//
// It promises to refuse what it doesn't understand, naming file and line, and to lose no option that makes apt check
// more. It must not know where the files are, nor fetch anything.
package sources

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Source is one suite of one repository of binary packages.
type Source struct {
	File string // that it was read from
	Line int    // from 1

	URI        string   // of the repository, without a slash at the end
	Suite      string   // below dists/, or, when Flat, the directory of the index, ending in /
	Flat       bool     // no dists/, no components
	Components []string // none when Flat

	Archs      []string // Debian's names; nil: the caller's default
	ArchsPlus  []string // added to the default
	ArchsMinus []string // taken away from it

	SignedBy []string // paths of keyrings, and fingerprints (upper case, ! at the end: no subkeys); nil: the default keyrings
	Key      string   // an armored key that stands in the source itself

	Trusted         *bool // nil: by the signature
	AllowInsecure   *bool
	AllowWeak       *bool
	CheckValidUntil *bool // nil: by default
	CheckDate       *bool
}

// String is what a person recognises.
func (s Source) String() string {
	return strings.Join(append([]string{redacted(s.URI), s.Suite}, s.Components...), " ")
}

// Repository names the suite without its components.
func (s Source) Repository() string { return redacted(s.URI) + " " + s.Suite }

func redacted(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return "(invalid URI)"
	}
	return u.Redacted()
}

// For says whether packages of an architecture come from this source, def being the caller's default.
func (s Source) For(arch string, def []string) bool {
	if slices.Contains(s.ArchsMinus, arch) {
		return false
	}
	if s.Archs != nil {
		def = s.Archs
	}
	return slices.Contains(def, arch) || slices.Contains(s.ArchsPlus, arch)
}

// Error is a mistake in a file of sources.
type Error struct {
	File string
	Line int
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// most is how many sources a file may hold.
const most = 4096

// check completes a source and refuses what can't be right.
func (s *Source) check() error {
	u, err := url.Parse(s.URI)
	switch {
	case err != nil:
		return errors.New("invalid URI")
	case u.Scheme == "":
		return fmt.Errorf("URI %q has no scheme", s.URI)
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("URI has a query or fragment")
	case u.Opaque != "":
		return fmt.Errorf("URI %q has no path", u.Redacted())
	}
	s.URI = strings.TrimRight(s.URI, "/")
	if s.Suite == "" {
		return errors.New("no suite")
	}
	s.Flat = strings.HasSuffix(s.Suite, "/")
	if err := checkPath(strings.TrimRight(strings.TrimPrefix(s.Suite, "/"), "/"), s.Flat); err != nil {
		return fmt.Errorf("suite %q: %w", s.Suite, err)
	}
	if s.Flat && len(s.Components) > 0 {
		return errors.New("a suite that ends in / has no components")
	}
	if !s.Flat && len(s.Components) == 0 {
		return fmt.Errorf("suite %q needs components (or a / at its end)", s.Suite)
	}
	for _, c := range s.Components {
		if err := checkPath(c, false); err != nil {
			return fmt.Errorf("component %q: %w", c, err)
		}
	}
	for _, a := range slices.Concat(s.Archs, s.ArchsPlus, s.ArchsMinus) {
		if !word(a, "-") {
			return fmt.Errorf("invalid architecture %q", a)
		}
	}
	return s.checkSignedBy()
}

func (s *Source) checkSignedBy() error {
	for i, k := range s.SignedBy {
		if strings.HasPrefix(k, "/") {
			if strings.ContainsFunc(k, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				return fmt.Errorf("signed-by %q has a control character", k)
			}
			continue
		}
		fingerprint := strings.ToUpper(strings.TrimSuffix(k, "!"))
		if len(fingerprint) != 40 && len(fingerprint) != 64 || strings.Trim(fingerprint, "0123456789ABCDEF") != "" {
			return fmt.Errorf("signed-by %q is neither an absolute path nor a fingerprint", k)
		}
		s.SignedBy[i] = strings.ToUpper(k)
	}
	return nil
}

// checkPath keeps a suite or component below the repository.
func checkPath(p string, mayBeEmpty bool) error {
	if p == "" && mayBeEmpty {
		return nil
	}
	if len(p) > 512 {
		return errors.New("too long")
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "." && mayBeEmpty {
			continue
		}
		if part == "" || strings.Trim(part, ".") == "" || !word(part, "-_.+~:$()") {
			return errors.New("invalid name")
		}
	}
	return nil
}

// word: letters, digits and the extra characters, not starting with a dash.
func word(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return s != "" && s[0] != '-'
}
