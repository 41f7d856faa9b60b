// Package release reads and verifies what a repository says of itself: InRelease, or Release with Release.gpg (Debian's
// RepositoryFormat; OpenPGP in RFC 9580, the cleartext framework in its section 7).
//
// It promises that only bytes under a good signature of a key given are ever returned as verified, and that index files
// without SHA256 aren't there. It must not know where the bytes came from.
package release

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/crossroot/crossroot/internal/debian/deb822"
)

// Release describes a suite.
type Release struct {
	Origin, Label, Suite, Codename, Version string

	Date          time.Time // when it was made
	ValidUntil    time.Time // zero: for ever
	Architectures []string
	Components    []string
	ByHash        bool // files are also found as by-hash/SHA256/…
	AllSeparate   bool // packages for all architectures are in an index of their own alone

	files map[string]File
}

// File is an index file, or whatever else the Release file vouches for.
type File struct {
	Path   string // below the directory of the Release file
	Size   int64  // bytes
	SHA256 string // 64 lower-case hexadecimal digits
}

// File returns what is known of a file; path is relative to the directory of the Release file.
func (r *Release) File(path string) (f File, ok bool) {
	f, ok = r.files[path]
	return f, ok
}

// Parse reads a Release file, which holds one stanza.
func Parse(text []byte) (*Release, error) {
	stanza, err := deb822.Parse(strings.TrimRight(string(text), "\n"), 1, deb822.Options{MaxStanza: 32 << 20})
	if err != nil {
		return nil, fmt.Errorf("read Release: %w", err)
	}
	r, err := fromStanza(stanza)
	if err != nil {
		return nil, fmt.Errorf("read Release: %w", err)
	}
	return r, nil
}

func fromStanza(s deb822.Stanza) (*Release, error) {
	r := &Release{
		Origin: s.Get("Origin"), Label: s.Get("Label"), Suite: s.Get("Suite"), Codename: s.Get("Codename"), Version: s.Get("Version"),
		Architectures: strings.Fields(s.Get("Architectures")), Components: strings.Fields(s.Get("Components")),
		ByHash: strings.EqualFold(s.Get("Acquire-By-Hash"), "yes"),
	}
	for _, a := range r.Architectures {
		if a == "all" {
			r.AllSeparate = !strings.Contains(" "+s.Get("No-Support-for-Architecture-all")+" ", " Packages ")
		}
	}
	var err error
	if r.Date, err = date(s.Get("Date")); err != nil {
		return nil, fmt.Errorf("Date: %w", err)
	}
	if until := s.Get("Valid-Until"); until != "" {
		if r.ValidUntil, err = date(until); err != nil {
			return nil, fmt.Errorf("Valid-Until: %w", err)
		}
	}
	list, ok := s.Lookup("SHA256")
	if !ok {
		return nil, errors.New("no field SHA256: weaker sums prove nothing")
	}
	if r.files, err = files(list); err != nil {
		return nil, fmt.Errorf("SHA256: %w", err)
	}
	return r, nil
}

// date reads "Sat, 11 Jul 2026 10:16:37 UTC".
func date(s string) (time.Time, error) {
	for _, layout := range []string{"Mon, 2 Jan 2006 15:04:05 UTC", "Mon, 2 Jan 2006 15:04:05 GMT", "Mon, 2 Jan 2006 15:04:05 Z", "Mon, 2 Jan 2006 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no date", s)
}

// files reads lines of sum, size and path.
func files(list string) (map[string]File, error) {
	all := map[string]File{}
	for line := range strings.SplitSeq(list, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("%.100q is not a sum, a size and a path", line)
		}
		f := File{Path: words[2], SHA256: words[0]}
		if len(f.SHA256) != 64 || strings.Trim(f.SHA256, "0123456789abcdef") != "" {
			return nil, fmt.Errorf("invalid sum %.70q", f.SHA256)
		}
		size, err := strconv.ParseUint(words[1], 10, 40)
		if err != nil {
			return nil, fmt.Errorf("invalid size %.40q", words[1])
		}
		f.Size = int64(size)
		f.Path = strings.TrimPrefix(f.Path, "./")
		if f.Path != path.Clean(f.Path) || f.Path[0] == '/' || f.Path == "." || f.Path == ".." || strings.HasPrefix(f.Path, "../") {
			return nil, fmt.Errorf("invalid path %.100q", words[2])
		}
		if old, twice := all[f.Path]; twice && old != f {
			return nil, fmt.Errorf("%.100q has two sums", f.Path)
		}
		all[f.Path] = f
	}
	return all, nil
}

// ExpiredError says that a Release file is no longer to be believed.
type ExpiredError struct{ Until, Now time.Time }

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("expired on %s (it is %s now)", e.Until.Format(time.RFC3339), e.Now.UTC().Format(time.RFC3339))
}

// FutureError says that a Release file isn't valid yet, or that the machine's clock is wrong.
type FutureError struct{ Date, Now time.Time }

func (e *FutureError) Error() string {
	return fmt.Sprintf("dated %s, in the future (it is %s now; is the clock right?)", e.Date.Format(time.RFC3339), e.Now.UTC().Format(time.RFC3339))
}

// skew is how wrong clocks may be.
const skew = 10 * time.Minute

// CheckExpiry returns an *ExpiredError when the file is too old at now.
func (r *Release) CheckExpiry(now time.Time) error {
	if !r.ValidUntil.IsZero() && now.After(r.ValidUntil) {
		return &ExpiredError{r.ValidUntil, now}
	}
	return nil
}

// CheckDate returns a *FutureError when the file is from the future.
func (r *Release) CheckDate(now time.Time) error {
	if r.Date.After(now.Add(skew)) {
		return &FutureError{r.Date, now}
	}
	return nil
}
