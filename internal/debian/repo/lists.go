package repo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/crossroot/crossroot/internal/debian/decompress"
	"github.com/crossroot/crossroot/internal/debian/index"
	"github.com/crossroot/crossroot/internal/debian/release"
	"github.com/crossroot/crossroot/internal/fetch"
)

// largestIndex is ten times what the largest known repository has, bytes.
const largestIndex = 1 << 30

// list is an index of a suite: one component's packages of one architecture.
type list struct {
	suite    *suite
	name     string         // main/binary-amd64/Packages
	plain    release.File   // not compressed; no SHA256 when the Release file doesn't have it
	variants []release.File // as the server may have it, the best first
	attempts []attempt
	cached   release.File // what is in the cache, by its sum: plain, or a variant
	trouble  *Error       // of the attempts so far
	index    *index.Index
	err      error
}

// attempt is one address of a list.
type attempt struct {
	file release.File
	path string // below the suite's directory
}

// endings are how indexes may be compressed, the best first.
var endings = []string{".zst", ".xz", ".gz", ""}

// updateIndexes gets the indexes that the cache lacks.
func (r *Repository) updateIndexes(ctx context.Context) error {
	for _, x := range slices.Clone(r.suites) {
		if err := r.findLists(x); err != nil {
			if err := r.without(x, err); err != nil {
				return err
			}
		}
	}
	missing := r.missingIndexes()
	if len(missing) > 0 && r.config.Offline {
		return &Error{missing[0].suite.name(), missing[0].name, NotCached, errors.New("not in the cache")}
	}
	for len(missing) > 0 {
		var err error
		if missing, err = r.getIndexes(ctx, missing); err != nil {
			return err
		}
	}
	return nil
}

// missingIndexes reads the indexes that are in the cache, and returns the others.
func (r *Repository) missingIndexes() (missing []*list) {
	var all []*list
	for _, x := range r.suites {
		all = append(all, x.lists...)
	}
	there := make([]bool, len(all))
	var wait sync.WaitGroup
	for i, l := range all {
		wait.Go(func() { there[i] = r.cache.hasIndex(l) })
	}
	wait.Wait()
	for i, l := range all {
		if !there[i] {
			missing = append(missing, l)
		}
	}
	return missing
}

// findLists makes the list of each component that the source names.
func (r *Repository) findLists(x *suite) error {
	names := []string{"Packages"}
	if !x.source.Flat {
		names = nil
		for _, c := range x.source.Components {
			own := c + "/binary-" + r.config.Arch + "/Packages"
			of := []string{own}
			if all := c + "/binary-all/Packages"; x.release.AllSeparate && r.config.Arch != "all" {
				of = append(of, all)
			}
			found := slices.DeleteFunc(of, func(n string) bool { return newList(x, n) == nil })
			if len(found) == 0 {
				if err := r.skip(&Error{x.name(), own, NoComponent, fmt.Errorf("there is no component %q for %s, only %q", c, r.config.Arch, x.release.Components)}); err != nil {
					return err
				}
			}
			names = append(names, found...)
		}
	}
	for _, n := range names {
		if l := newList(x, n); l != nil {
			x.lists = append(x.lists, l)
		}
	}
	if len(x.lists) == 0 {
		return &Error{x.name(), "Release", NoComponent, errors.New("it lists no index of packages")}
	}
	return nil
}

// newList finds what the Release file says of an index; nil: nothing.
func newList(x *suite, name string) *list {
	l := &list{suite: x, name: name}
	for _, e := range endings {
		f, ok := x.release.File(name + e)
		if !ok {
			continue
		}
		if e == "" {
			l.plain = f
		}
		l.variants = append(l.variants, f)
		if x.release.ByHash {
			l.attempts = append(l.attempts, attempt{f, path.Join(path.Dir(f.Path), "by-hash/SHA256", f.SHA256)})
		}
		l.attempts = append(l.attempts, attempt{f, f.Path})
	}
	if len(l.variants) == 0 {
		return nil
	}
	return l
}

// hasIndex reads an index that is in the cache. One that can't be read, or isn't what its name says, isn't there.
func (c *cache) hasIndex(l *list) bool {
	for _, f := range append([]release.File{l.plain}, l.variants...) {
		if f.SHA256 == "" || f.Size > largestIndex {
			continue
		}
		l.cached = f
		if l.index, l.err = c.readIndex(l); l.err == nil {
			touch(c.path("index", f.SHA256))
			return true
		}
	}
	return false
}

// getIndexes tries the next address of each list, and returns those that need another one.
func (r *Repository) getIndexes(ctx context.Context, missing []*list) (again []*list, err error) {
	var jobs []fetch.Job
	var need int64
	missing, again = r.once(missing)
	for _, l := range missing {
		a := l.attempts[0]
		if a.file.Size > largestIndex || l.plain.Size > largestIndex {
			return nil, &Error{l.suite.name(), l.name, Malformed, fmt.Errorf("larger than %d MiB", largestIndex>>20)}
		}
		need += a.file.Size + l.plain.Size
		jobs = append(jobs, fetch.Job{URL: l.suite.dists + a.path, Path: r.cache.path("partial", a.file.SHA256), Size: a.file.Size, SHA256: a.file.SHA256, Resume: true})
	}
	if err := r.cache.room(need); err != nil {
		return nil, err
	}
	results := r.fetch(ctx, "indexes", jobs)
	errs := make([]error, len(missing))
	var wait sync.WaitGroup
	for i, l := range missing {
		if errs[i] = results[i].Err; errs[i] == nil {
			wait.Go(func() {
				if errs[i] = r.cache.storeIndex(l, jobs[i].Path); errs[i] == nil {
					l.index, errs[i] = r.cache.readIndex(l)
				}
			})
		}
	}
	wait.Wait()
	for i, l := range missing {
		if errs[i] == nil {
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var own *Error
		if !errors.As(errs[i], &own) {
			own = &Error{l.suite.name(), l.attempts[0].path, fetchKind(errs[i]), errs[i]}
		}
		if l.trouble == nil || l.trouble.Kind == Gone { // the first that says more than that a file isn't there
			l.trouble = own
		}
		if len(l.attempts) > 1 && (own.Kind == Gone || own.Kind == Disagree || own.Kind == Malformed) {
			l.attempts = l.attempts[1:]
			again = append(again, l)
			continue
		}
		if own.Kind == Gone {
			own = l.trouble
		}
		x := l.suite
		if err := r.skip(own); err != nil {
			return nil, err
		}
		if x.lists = slices.DeleteFunc(x.lists, func(o *list) bool { return o == l }); len(x.lists) == 0 {
			if r.suites = slices.DeleteFunc(r.suites, func(o *suite) bool { return o == x }); len(r.suites) == 0 {
				return nil, own
			}
		}
	}
	return again, nil
}

// once leaves out lists that came into the cache meanwhile, and puts those off that are the same file as another one: empty
// ones often are.
func (r *Repository) once(lists []*list) (now, later []*list) {
	seen := map[string]bool{}
	for _, l := range lists {
		switch sum := l.attempts[0].file.SHA256; {
		case seen[sum]:
			later = append(later, l)
		case !r.cache.hasIndex(l):
			seen[sum] = true
			now = append(now, l)
		}
	}
	return now, later
}

// storeIndex puts an index that was got, and verified, into the cache: not compressed, where that can be verified again.
func (c *cache) storeIndex(l *list, got string) error {
	f := l.attempts[0].file
	if l.plain.SHA256 == "" || l.plain == f {
		l.cached = f
		return c.local(l, os.Rename(got, c.path("index", f.SHA256)))
	}
	in, err := os.Open(got)
	if err != nil {
		return c.local(l, err)
	}
	defer in.Close()
	name := c.path("partial", l.plain.SHA256+".plain")
	defer os.Remove(name)
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return c.local(l, err)
	}
	defer out.Close()
	sum := sha256.New()
	z, err := decompress.NewReader(in, decompress.Extension(f.Path))
	var n int64
	if err == nil {
		defer z.Close()
		n, err = io.Copy(io.MultiWriter(out, sum), io.LimitReader(z, l.plain.Size+1))
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return c.local(l, err)
	case err != nil:
		return &Error{l.suite.name(), f.Path, Malformed, err}
	case n != l.plain.Size || hex.EncodeToString(sum.Sum(nil)) != l.plain.SHA256:
		return &Error{l.suite.name(), f.Path, Disagree, errors.New("decompressed, it isn't what the Release file says")}
	}
	l.cached = l.plain
	return c.local(l, errors.Join(out.Close(), os.Rename(name, c.path("index", l.plain.SHA256)), os.Remove(got)))
}

func (c *cache) local(l *list, err error) error {
	if err != nil {
		return &Error{l.suite.name(), l.name, Local, err}
	}
	return nil
}

// readIndex reads and verifies an index of the cache.
func (c *cache) readIndex(l *list) (*index.Index, error) {
	f := l.cached
	name := c.path("index", f.SHA256)
	in, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, c.local(l, err)
	}
	defer in.Close()
	if st, err := in.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() != f.Size {
		return nil, c.local(l, fmt.Errorf("%s doesn't have %d bytes", name, f.Size))
	}
	var text strings.Builder
	text.Grow(int(f.Size))
	sum := sha256.New()
	if _, err := io.CopyBuffer(io.MultiWriter(&text, sum), io.LimitReader(in, f.Size), make([]byte, 256<<10)); err != nil {
		return nil, c.local(l, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return nil, c.local(l, fmt.Errorf("%s isn't what its name says", name))
	}
	plain, err := expand(text.String(), decompress.Extension(f.Path))
	if err != nil {
		return nil, &Error{l.suite.name(), f.Path, Malformed, err}
	}
	x, err := index.Parse(plain)
	if err != nil {
		return nil, &Error{l.suite.name(), l.name, Malformed, err}
	}
	return x, nil
}

func expand(text string, m decompress.Method) (string, error) {
	if m == decompress.None {
		return text, nil
	}
	z, err := decompress.NewReader(strings.NewReader(text), m)
	if err != nil {
		return "", err
	}
	defer z.Close()
	var plain strings.Builder
	if n, err := io.Copy(&plain, io.LimitReader(z, largestIndex+1)); err != nil {
		return "", err
	} else if n > largestIndex {
		return "", fmt.Errorf("larger than %d MiB", largestIndex>>20)
	}
	return plain.String(), nil
}
