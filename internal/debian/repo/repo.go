// Package repo gets packages from Debian repositories, through a cache that roots and users' runs share.
//
// It promises that a file it returns is the one that a signed Release file vouches for, at this moment, and that a
// failed or killed download leaves what was there before. It must not know what the packages are for, nor what depends
// on what.
package repo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/crossroot/crossroot/internal/debian/index"
	"github.com/crossroot/crossroot/internal/debian/release"
	"github.com/crossroot/crossroot/internal/debian/sources"
	"github.com/crossroot/crossroot/internal/fetch"
)

// Fetcher gets files: *fetch.Client.
type Fetcher interface {
	Fetch(ctx context.Context, jobs []fetch.Job, progress func(job int, bytes int64)) []fetch.Result
}

// Config says where packages come from and who is believed.
type Config struct {
	Sources []sources.Source
	Arch    string // Debian's name of the packages' architecture; those for all architectures come with it
	For     string // only sources that are for this architecture count; empty: Arch. A root's sources name the root's

	Root     *os.File // keyrings are looked for here first, then on this machine; nil: only on this machine
	Keyrings []string // files on this machine instead of those that sources name, and of apt's own
	Cache    string   // directory, made when it isn't there
	Fetch    Fetcher
	Progress func(Progress) // may be nil; called by one goroutine at a time

	Offline       bool // what the cache has, and nothing else
	AllowUnsigned bool // also without a signature, or by unknown or expired keys; never what a known key contradicts
	AllowExpired  bool // also after Valid-Until
	AllowPartial  bool // go on without suites and components that can't be had, and list them in Skipped
	AllowRollback bool // also an older Release file than the one seen last
	Now           time.Time
}

// Progress is how far something is.
type Progress struct {
	What        string // release files, indexes, packages, or waiting for another crossroot
	Files, All  int    // done, and in all
	Bytes, Size int64  // of all files; Size is 0 when not known
}

// Repository is the packages of all sources together.
type Repository struct {
	Skipped  []error  // what AllowPartial went on without, and sources that are for other architectures: all *Error
	Warnings []string // what was accepted but a person should know

	config Config
	cache  *cache
	suites []*suite
}

// Package is a package and where it is.
type Package struct {
	index.Package
	Repository string // for people to read
	url        string
}

// Open gets what has changed of the repositories' Release files and indexes, verifies them, and reads them.
func Open(ctx context.Context, config Config) (*Repository, error) {
	if config.Now.IsZero() {
		config.Now = time.Now()
	}
	if config.For == "" {
		config.For = config.Arch
	}
	if config.Fetch == nil {
		config.Fetch = &fetch.Client{Root: config.Root}
	}
	r := &Repository{config: config}
	var err error
	if r.cache, err = openCache(config.Cache); err != nil {
		return nil, err
	}
	if err := r.choose(); err != nil {
		return nil, err
	}
	if err := r.update(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// choose makes a suite of each source that is for the architecture.
func (r *Repository) choose() error {
	for _, s := range r.config.Sources {
		if !s.For(r.config.For, []string{r.config.For}) {
			continue
		}
		if same := slices.IndexFunc(r.suites, func(o *suite) bool { return o.same(s) }); same >= 0 {
			r.suites[same].source.Components = union(r.suites[same].source.Components, s.Components)
			continue
		}
		x, err := r.newSuite(s)
		if err != nil {
			if err := r.skip(err); err != nil {
				return err
			}
			continue
		}
		r.suites = append(r.suites, x)
	}
	if len(r.suites) == 0 {
		return &Error{Kind: NoSource, Err: errors.Join(append([]error{fmt.Errorf("no source of packages for %s", r.config.For)}, r.Skipped...)...)}
	}
	return nil
}

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(slices.Clip(a), s)
		}
	}
	return a
}

// skip notes what can be gone on without, or returns it.
func (r *Repository) skip(err error) error {
	var e *Error
	if !errors.As(err, &e) || !r.config.AllowPartial {
		return err
	}
	r.Skipped = append(r.Skipped, err)
	return nil
}

// without leaves a suite out.
func (r *Repository) without(x *suite, err error) error {
	if err := r.skip(err); err != nil {
		return err
	}
	r.suites = slices.DeleteFunc(r.suites, func(o *suite) bool { return o == x })
	if len(r.suites) == 0 {
		return err
	}
	return nil
}

// update brings the cache up to date. Two at a time would get in each other's way.
func (r *Repository) update(ctx context.Context) error {
	unlock, err := r.cache.lock(ctx, func() { r.report(Progress{What: "waiting for another crossroot"}) })
	if err != nil {
		return err
	}
	defer unlock()
	defer discard(slices.Clone(r.suites))
	if err := r.refresh(ctx); err != nil {
		return err
	}
	for _, x := range slices.Clone(r.suites) {
		if !x.hasArch(r.config.Arch) {
			err := &Error{x.name(), "", NoArch, fmt.Errorf("has no packages for %s, only for %q", r.config.Arch, x.release.Architectures)}
			if r.config.AllowPartial || len(r.suites) > 1 {
				r.Skipped = append(r.Skipped, err)
				r.suites = slices.DeleteFunc(r.suites, func(o *suite) bool { return o == x })
				continue
			}
			return err
		}
	}
	if err := r.updateIndexes(ctx); err != nil {
		return err
	}
	return r.keep()
}

func (r *Repository) report(p Progress) {
	if r.config.Progress != nil {
		r.config.Progress(p)
	}
}

// Releases returns the Release files in the order of the sources.
func (r *Repository) Releases() (all []*release.Release) {
	for _, x := range r.suites {
		all = append(all, x.release)
	}
	return all
}
