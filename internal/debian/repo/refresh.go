package repo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/crossroot/crossroot/internal/fetch"
)

const (
	largestRelease   = 32 << 20 // bytes
	largestSignature = 1 << 20
)

// state is what to ask the server with: whether its InRelease is still the one with this sum.
type state struct {
	URL, SHA256, ETag, Modified string
}

// refresh brings the Release files up to date.
func (r *Repository) refresh(ctx context.Context) error {
	jobs := make([]fetch.Job, len(r.suites))
	for i, x := range r.suites {
		if err := os.Mkdir(x.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return &Error{x.name(), "", Local, err}
		}
		known := r.readCopy(x)
		jobs[i] = fetch.Job{URL: x.dists + "InRelease", Path: x.dir + "/InRelease.got", Size: -1, Max: largestRelease, ETag: known.ETag, Modified: known.Modified}
	}
	if r.config.Offline {
		return r.offline()
	}
	var old []*suite
	for i, result := range r.fetch(ctx, "release files", jobs) {
		x := r.suites[i]
		var e *fetch.Error
		switch {
		case errors.As(result.Err, &e) && e.Cause == fetch.NotFound:
			old = append(old, x)
			continue
		case result.Err == nil && result.NotModified:
			r.believe(x, x.cached, x.cachedUnsigned)
			continue
		case result.Err == nil:
			result.Err = r.adopt(x, result)
		}
		if result.Err != nil {
			if err := r.failed(ctx, x, result.Err); err != nil {
				return err
			}
		}
	}
	if err := r.refreshOld(ctx, old); err != nil {
		return err
	}
	r.suites = slices.DeleteFunc(r.suites, func(x *suite) bool { return x.release == nil })
	if len(r.suites) == 0 {
		return errors.Join(r.Skipped...)
	}
	return nil
}

// refreshOld gets Release and Release.gpg of suites that have no InRelease.
func (r *Repository) refreshOld(ctx context.Context, suites []*suite) error {
	if len(suites) == 0 {
		return nil
	}
	var jobs []fetch.Job
	for _, x := range suites {
		jobs = append(jobs, fetch.Job{URL: x.dists + "Release", Path: x.dir + "/Release.got", Size: -1, Max: largestRelease},
			fetch.Job{URL: x.dists + "Release.gpg", Path: x.dir + "/Release.gpg.got", Size: -1, Max: largestSignature})
	}
	results := r.fetch(ctx, "release files", jobs)
	for i, x := range suites {
		err := results[2*i].Err
		var e *fetch.Error
		if errors.As(err, &e) && e.Cause == fetch.NotFound {
			err = &Error{x.name(), "InRelease", NoSuite, fmt.Errorf("the repository has no such suite (%s has neither InRelease nor Release)", fetch.Redacted(x.dists))}
		}
		signed := true
		if err == nil && results[2*i+1].Err != nil {
			err = results[2*i+1].Err
			if errors.As(err, &e) && e.Cause == fetch.NotFound {
				signed, err = false, nil
			}
		}
		if err == nil {
			err = r.adoptOld(x, signed)
		}
		if err != nil {
			if err := r.failed(ctx, x, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// failed falls back to what is in the cache where the network is at fault, or leaves the suite out.
func (r *Repository) failed(ctx context.Context, x *suite, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var own *Error
	if !errors.As(err, &own) {
		own = &Error{x.name(), "InRelease", fetchKind(err), err}
	}
	if (own.Kind == Unreachable || own.Kind == NoHelper) && x.cached != nil {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s: using what was here before: %v", x.name(), err))
		r.believe(x, x.cached, x.cachedUnsigned)
		return nil
	}
	return r.skip(own)
}

func (r *Repository) offline() error {
	for _, x := range r.suites {
		if x.cached != nil {
			r.believe(x, x.cached, x.cachedUnsigned)
		} else {
			if err := r.skip(&Error{x.name(), "InRelease", NotCached, errors.New("not in the cache")}); err != nil {
				return err
			}
		}
	}
	r.suites = slices.DeleteFunc(r.suites, func(x *suite) bool { return x.release == nil })
	if len(r.suites) == 0 {
		return errors.Join(r.Skipped...)
	}
	return nil
}

// readCopy verifies the copy in the cache; one that doesn't is as good as none.
func (r *Repository) readCopy(x *suite) (known state) {
	for _, n := range []string{"InRelease", "state", "Release", "Release.gpg"} {
		touch(filepath.Join(x.dir, n))
	}
	clear, err := readFile(x.dir+"/InRelease", largestRelease)
	if err == nil {
		r.verifyCopy(x, clear, nil, nil)
		sum := sha256.Sum256(clear)
		data, err := readFile(x.dir+"/state", 1<<16)
		if x.cached == nil || err != nil || json.Unmarshal(data, &known) != nil || known.URL != x.dists || known.SHA256 != hex.EncodeToString(sum[:]) {
			return state{}
		}
		return known
	}
	if text, err := readFile(x.dir+"/Release", largestRelease); err == nil {
		signature, err := readFile(x.dir+"/Release.gpg", largestSignature)
		if err != nil {
			signature = nil
		}
		r.verifyCopy(x, nil, text, signature)
	}
	return state{}
}

func (r *Repository) verifyCopy(x *suite, clear, text, signature []byte) {
	rel, unsigned, err := r.verify(x, clear, text, signature)
	if err != nil {
		return
	}
	if x.seen = rel.Date; r.checkDates(x, rel) == nil {
		x.cached, x.cachedUnsigned = rel, unsigned
	}
}

// adopt believes the InRelease file that was got, if it is right.
func (r *Repository) adopt(x *suite, result fetch.Result) error {
	got := x.dir + "/InRelease.got"
	clear, err := readFile(got, largestRelease)
	if err != nil {
		return &Error{x.name(), "InRelease", Local, err}
	}
	rel, unsigned, err := r.verify(x, clear, nil, nil)
	if err == nil {
		err = r.checkDates(x, rel)
	}
	if err != nil {
		return err
	}
	r.believe(x, rel, unsigned)
	sum := sha256.Sum256(clear)
	known, err := json.Marshal(state{x.dists, hex.EncodeToString(sum[:]), result.ETag, result.Modified})
	x.commit = func() error {
		return errors.Join(err, os.Rename(got, x.dir+"/InRelease"), writeFile(x.dir+"/state", known), removeAll(x.dir, "Release", "Release.gpg"))
	}
	return nil
}

// adoptOld believes Release and Release.gpg.
func (r *Repository) adoptOld(x *suite, signed bool) error {
	text, err := readFile(x.dir+"/Release.got", largestRelease)
	var signature []byte
	if err == nil && signed {
		signature, err = readFile(x.dir+"/Release.gpg.got", largestSignature)
	}
	if err != nil {
		return &Error{x.name(), "Release", Local, err}
	}
	rel, unsigned, err := r.verify(x, nil, text, signature)
	if err == nil {
		err = r.checkDates(x, rel)
	}
	if err != nil {
		return err
	}
	r.believe(x, rel, unsigned)
	x.commit = func() error {
		err := removeAll(x.dir, "Release", "Release.gpg")
		if signed {
			err = errors.Join(err, os.Rename(x.dir+"/Release.gpg.got", x.dir+"/Release.gpg"))
		}
		return errors.Join(err, os.Rename(x.dir+"/Release.got", x.dir+"/Release"), removeAll(x.dir, "InRelease", "state"))
	}
	return nil
}

// keep puts the new Release files into the cache, now that the indexes are there that belong to them. Until then the old
// ones stay, with their indexes.
func (r *Repository) keep() error {
	for _, x := range r.suites {
		if x.commit == nil {
			continue
		}
		if err := x.commit(); err != nil {
			return &Error{x.name(), "Release", Local, err}
		}
	}
	return nil
}

// discard removes what was got and isn't needed any more.
func discard(suites []*suite) {
	for _, x := range suites {
		_ = removeAll(x.dir, "InRelease.got", "Release.got", "Release.gpg.got")
	}
}

func removeAll(dir string, names ...string) (err error) {
	for _, name := range names {
		if e := os.Remove(filepath.Join(dir, name)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
