package repo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/crossroot/crossroot/internal/debian/release"
	"github.com/crossroot/crossroot/internal/debian/sources"
)

// suite is one suite of one repository.
type suite struct {
	source  sources.Source
	base    string // URL that Filename is below, ends in /
	dists   string // URL of the directory of the Release file, ends in /
	dir     string // in the cache
	keys    *release.Keyring
	release *release.Release // nil until it is verified
	lists   []*list
	commit  func() error // puts the new Release file in the place of the cached one; nil: nothing new

	cached         *release.Release // the copy in the cache, nil when it isn't good any more
	cachedUnsigned bool
	seen           time.Time // date of that copy, also when it is too old now
}

func (r *Repository) newSuite(s sources.Source) (*suite, error) {
	x := &suite{source: s, base: s.URI + "/"}
	name := strings.ReplaceAll(s.Suite, "$(ARCH)", r.config.Arch)
	x.dists = x.base + "dists/" + name + "/"
	if s.Flat {
		if name = strings.Trim(path.Clean("/"+name), "/"); name != "" {
			name += "/"
		}
		x.dists = x.base + name
	}
	if u, err := url.Parse(x.dists); err != nil || !slices.Contains([]string{"http", "https", "file"}, u.Scheme) {
		return nil, &Error{s.Repository(), "", NoSource, errors.New("only http:, https: and file: are known")}
	}
	id := sha256.Sum256([]byte(x.dists))
	x.dir = r.cache.path("release", hex.EncodeToString(id[:]))
	var err error
	if x.keys, err = r.keyring(s); err != nil {
		return nil, &Error{s.Repository(), "", Unsigned, err}
	}
	return x, nil
}

// same says whether a source is of the same suite, and believed for the same reason.
func (x *suite) same(s sources.Source) bool {
	o := x.source
	same := func(a, b *bool) bool { return a == b || a != nil && b != nil && *a == *b }
	return o.URI == s.URI && o.Suite == s.Suite && slices.Equal(o.SignedBy, s.SignedBy) && o.Key == s.Key &&
		same(o.Trusted, s.Trusted) && same(o.AllowInsecure, s.AllowInsecure) && same(o.CheckValidUntil, s.CheckValidUntil) && same(o.CheckDate, s.CheckDate)
}

func (x *suite) name() string { return x.source.Repository() }

func (x *suite) hasArch(arch string) bool {
	return len(x.release.Architectures) == 0 || slices.Contains(x.release.Architectures, arch) ||
		slices.Contains(x.release.Architectures, "all") && x.release.AllSeparate
}

func is(b *bool, what bool) bool { return b != nil && *b == what }

// allowsUnsigned says whether the source needs no signature.
func (r *Repository) allowsUnsigned(x *suite) bool {
	return r.config.AllowUnsigned || is(x.source.Trusted, true) || is(x.source.AllowInsecure, true)
}

// verify reads a Release file: clear is InRelease; otherwise text and signature are Release and Release.gpg, which may be
// nil. unsigned says that it was believed without a signature.
func (r *Repository) verify(x *suite, clear, text, signature []byte) (rel *release.Release, unsigned bool, err error) {
	file := "Release"
	switch {
	case clear != nil:
		file = "InRelease"
		text, _, err = x.keys.VerifyClear(clear, r.config.Now)
	case signature == nil:
		err = release.ErrNotSigned
	default:
		_, err = x.keys.VerifyDetached(text, signature, r.config.Now)
	}
	if err == nil && is(x.source.Trusted, false) {
		err = fmt.Errorf("%s:%d says that it is not to be trusted", x.source.File, x.source.Line)
	}
	if err != nil {
		kind, mayPass := signatureKind(err)
		if !mayPass || !r.allowsUnsigned(x) {
			return nil, false, &Error{x.name(), file, kind, err}
		}
		unsigned = true
		if clear != nil {
			if text, err = release.Unverified(clear); err != nil {
				return nil, false, &Error{x.name(), file, Malformed, err}
			}
		}
	}
	if rel, err = release.Parse(text); err != nil {
		return nil, false, &Error{x.name(), file, Malformed, err}
	}
	return rel, unsigned, nil
}

// signatureKind: mayPass is for whoever believes anybody.
func signatureKind(err error) (kind Kind, mayPass bool) {
	var key *release.KeyError
	var sig *release.SignatureError
	switch {
	case errors.As(err, &sig):
		if sig.Worthless {
			return Unsigned, true
		}
		return Forged, false
	case errors.As(err, &key), errors.Is(err, release.ErrNotSigned):
		return Unsigned, true
	}
	return Unsigned, true
}

func (r *Repository) checkDates(x *suite, rel *release.Release) error {
	if err := rel.CheckExpiry(r.config.Now); err != nil && !r.config.AllowExpired && !is(x.source.CheckValidUntil, false) {
		return &Error{x.name(), "Release", Expired, err}
	}
	if err := rel.CheckDate(r.config.Now); err != nil && !is(x.source.CheckDate, false) {
		return &Error{x.name(), "Release", Future, err}
	}
	if rel.Date.Before(x.seen) && !r.config.AllowRollback {
		return &Error{x.name(), "Release", Rollback, fmt.Errorf("made on %s, older than the one of %s that was here before",
			rel.Date.Format(time.RFC3339), x.seen.Format(time.RFC3339))}
	}
	return nil
}

// believe takes a Release file for the suite's, and tells what is odd about it.
func (r *Repository) believe(x *suite, rel *release.Release, unsigned bool) {
	x.release = rel
	if unsigned {
		r.Warnings = append(r.Warnings, x.name()+": believed without a good signature")
	}
	asked, _, _ := strings.Cut(x.source.Suite, "/")
	if !x.source.Flat && rel.Suite+rel.Codename != "" && asked != rel.Suite && asked != rel.Codename && x.source.Suite != rel.Suite && x.source.Suite != rel.Codename {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s: calls itself %q and %q", x.name(), rel.Suite, rel.Codename))
	}
	if rel.CheckExpiry(r.config.Now) != nil {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s: expired on %s", x.name(), rel.ValidUntil.Format(time.RFC3339)))
	}
}
