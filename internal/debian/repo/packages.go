package repo

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/crossroot/crossroot/internal/debian/version"
	"github.com/crossroot/crossroot/internal/fetch"
)

// Find returns all versions of a package, the newest first; of equal ones the first source's comes first. None is no
// error.
func (r *Repository) Find(name string) (found []Package, err error) {
	for _, x := range r.suites {
		for _, l := range x.lists {
			some, err := l.index.Find(name)
			if err != nil {
				return nil, &Error{x.name(), l.name, Malformed, err}
			}
			for _, p := range some {
				if p.Arch == r.config.Arch || p.Arch == "all" {
					found = append(found, Package{p, x.name(), x.base + escaped(p.Filename)})
				}
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Package) int { return version.Compare(b.Version, a.Version) })
	return found, nil
}

// escaped is a Filename as a part of a URL. It may have escapes of its own already.
func escaped(name string) string {
	plain, err := url.PathUnescape(name)
	if err != nil { // index.Find refuses it
		plain = name
	}
	return (&url.URL{Path: strings.TrimPrefix(plain, "./")}).EscapedPath()
}

// Resolve returns the package with this version; where there is none, the nearest: the newest rebuild of the
// same (+b1), the next newer, the newest of those older. An empty version asks for the newest. The error is a *NotFoundError or *Error.
func (r *Repository) Resolve(name, want string) (Package, error) {
	found, err := r.Find(name)
	if err != nil {
		return Package{}, err
	}
	if len(found) == 0 {
		return Package{}, &NotFoundError{name, r.config.Arch}
	}
	if want == "" {
		return found[0], nil
	}
	best := found[0]
	for _, p := range found[1:] { // from new to old
		have, now := distance(p.Version, want), distance(best.Version, want)
		if have < now || have == newer && now == newer {
			best = p
		}
	}
	return best, nil
}

// The distances of a version to the wanted one.
const (
	equal = iota
	rebuilt
	newer
	older
)

func distance(have, want string) int {
	switch c := version.Compare(have, want); {
	case c == 0:
		return equal
	case version.SameSource(have, want):
		return rebuilt
	case c > 0:
		return newer
	}
	return older
}

// Fetch gets packages into the cache and returns the paths of their files in the same order, each verified now.
func (r *Repository) Fetch(ctx context.Context, packages []Package) ([]string, error) {
	paths := make([]string, len(packages))
	for i, p := range packages {
		paths[i] = r.cache.path("packages", p.Name, p.Version+"_"+p.Arch+"_"+p.SHA256+".deb")
	}
	missing := missing(packages, paths)
	for _, p := range paths {
		touch(p)
	}
	if len(missing) == 0 {
		return paths, nil
	}
	if r.config.Offline {
		p := packages[missing[0]]
		return nil, &Error{p.Repository, p.Filename, NotCached, fmt.Errorf("%d packages aren't in the cache", len(missing))}
	}
	unlock, err := r.cache.lock(ctx, func() { r.report(Progress{What: "waiting for another crossroot"}) })
	if err != nil {
		return nil, err
	}
	defer unlock()
	return paths, r.get(ctx, packages, paths, missing)
}

// missing are the indexes of packages that aren't in the cache as they must be.
func missing(packages []Package, paths []string) (indexes []int) {
	there := make([]bool, len(packages))
	var wait sync.WaitGroup
	next := make(chan int)
	for range min(4, runtime.GOMAXPROCS(0)) {
		wait.Go(func() {
			for i := range next {
				there[i] = whole(paths[i], packages[i].Size, packages[i].SHA256)
			}
		})
	}
	for i := range packages {
		next <- i
	}
	close(next)
	wait.Wait()
	seen := map[string]bool{}
	for i := range packages {
		if !there[i] && !seen[paths[i]] {
			seen[paths[i]] = true
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// get gets what is missing. Files with the same content under several names come one after the other.
func (r *Repository) get(ctx context.Context, packages []Package, paths []string, missing []int) error {
	var first *Error
	failed := 0
	for len(missing) > 0 {
		var jobs []fetch.Job
		var indexes, later []int
		var need int64
		seen := map[string]bool{}
		for _, i := range missing {
			p := packages[i]
			switch {
			case seen[p.SHA256]:
				later = append(later, i)
			case !whole(paths[i], p.Size, p.SHA256): // got by the one we waited for
				seen[p.SHA256] = true
				need += p.Size
				indexes = append(indexes, i)
				jobs = append(jobs, fetch.Job{URL: p.url, Path: r.cache.path("partial", p.SHA256), Size: p.Size, SHA256: p.SHA256, Resume: true})
			}
		}
		if err := r.cache.room(need); err != nil {
			return err
		}
		for n, result := range r.fetch(ctx, "packages", jobs) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			p := packages[indexes[n]]
			kind, err := fetchKind(result.Err), result.Err
			if err == nil {
				kind, err = Local, place(jobs[n].Path, paths[indexes[n]])
			}
			if err != nil {
				if failed++; first == nil {
					first = &Error{p.Repository, p.Filename, kind, err}
				}
			}
		}
		missing = later
	}
	switch {
	case first == nil:
		return nil
	case failed > 1:
		first.Err = fmt.Errorf("%w (and so with %d more packages)", first.Err, failed-1)
	}
	return first
}

func place(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// fetch does jobs and reports how far they are.
func (r *Repository) fetch(ctx context.Context, what string, jobs []fetch.Job) []fetch.Result {
	if len(jobs) == 0 {
		return nil
	}
	p := Progress{What: what, All: len(jobs)}
	for _, j := range jobs {
		p.Size += max(j.Size, 0)
	}
	r.report(p)
	sizes := make([]int64, len(jobs))
	results := r.config.Fetch.Fetch(ctx, jobs, func(job int, bytes int64) {
		p.Bytes += bytes - sizes[job]
		sizes[job] = bytes
		r.report(p)
	})
	p.Bytes, p.Files = 0, 0
	for _, res := range results {
		if res.Err == nil {
			p.Files++
			p.Bytes += res.Bytes
		}
	}
	r.report(p)
	return results
}
