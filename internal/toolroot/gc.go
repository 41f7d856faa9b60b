package toolroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/crossroot/crossroot/internal/kernel/flock"
)

// Cached is a tool root in the cache.
type Cached struct {
	Key     string
	Dir     string
	Source  string   // the directory it was made from
	Targets []string // architectures with a variant
	Tools   int
	Bytes   int64 // of the source's files
	Built   time.Time
	Current bool // it is the newest made from a source that there still is
	InUse   bool // a run uses it now
	Damaged bool // its index can't be read
}

// List tells what the cache holds, by key. It builds nothing.
func List(cacheDir string) ([]Cached, error) {
	c := &cache{filepath.Join(cacheDir, "tools")}
	dirs, err := os.ReadDir(c.dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("list tool roots: %w", err)
	}
	if err := checkOwner(c.dir); err != nil {
		return nil, err
	}
	stamped := c.stampedKeys()
	var list []Cached
	for _, d := range dirs {
		if key, ok := strings.CutPrefix(d.Name(), "root-"); ok && d.IsDir() {
			e := c.describe(key)
			if _, err := os.Stat(e.Source); err == nil {
				e.Current = stamped[key]
			}
			list = append(list, e)
		}
	}
	return list, nil
}

// describe looks at one tool root.
func (c *cache) describe(key string) Cached {
	dir := c.rootDir(key)
	e := Cached{Key: key, Dir: dir}
	var x Index
	if readJSON(filepath.Join(dir, "base", indexName), &x) != nil || x.Format != format {
		e.Damaged = true
	}
	e.Source, e.Tools, e.Bytes = x.Source, len(x.Tools), x.Bytes
	if st, err := os.Stat(filepath.Join(dir, "base")); err == nil {
		e.Built = st.ModTime()
	}
	variants, _ := filepath.Glob(filepath.Join(dir, "variant-*")) // the pattern is right
	for _, v := range variants {
		e.Targets = append(e.Targets, strings.TrimPrefix(filepath.Base(v), "variant-"))
	}
	release, idle := c.claim(key)
	if e.InUse = !idle; idle {
		release()
	}
	return e
}

// claim locks a tool root that nobody uses; ok is false if somebody does.
func (c *cache) claim(key string) (release func(), ok bool) {
	f, err := os.Open(filepath.Join(c.rootDir(key), "in-use"))
	if err != nil {
		return func() {}, errors.Is(err, fs.ErrNotExist)
	}
	if flock.Exclusive(f) != nil {
		_ = f.Close()
		return nil, false
	}
	return func() { _ = f.Close() }, true
}

// stampedKeys are the keys that a stamp names: the newest of each source.
func (c *cache) stampedKeys() map[string]bool {
	keys := map[string]bool{}
	stamps, _ := filepath.Glob(filepath.Join(c.dir, "source-*")) // the pattern is right
	for _, name := range stamps {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(b), "\n")
		if _, key, ok := strings.Cut(first, " "); ok {
			keys[key] = true
		}
	}
	return keys
}

// GC deletes the tool roots that are no source's newest, are not in use and not
// in keep, and what killed builders left. It returns what it deleted.
func GC(ctx context.Context, cacheDir string, keep ...string) ([]Cached, error) {
	c, err := openCache(cacheDir)
	if err != nil {
		return nil, err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	c.sweep()
	list, err := List(cacheDir)
	if err != nil {
		return nil, err
	}
	var deleted []Cached
	for _, e := range list {
		if e.InUse || e.Current && !e.Damaged || slices.Contains(keep, e.Key) {
			continue
		}
		if ok, err := c.delete(e.Key); err != nil {
			return deleted, err
		} else if !ok {
			continue
		}
		deleted = append(deleted, e)
	}
	c.forgetStamps()
	return deleted, nil
}

// forgetStamps deletes the stamps of tool roots that are gone.
func (c *cache) forgetStamps() {
	stamps, _ := filepath.Glob(filepath.Join(c.dir, "source-*")) // the pattern is right
	for _, name := range stamps {
		key, _, err := readStamp(name)
		if err == nil {
			_, err = os.Stat(c.rootDir(key))
		}
		if err != nil {
			_ = os.Remove(name) // made again when it is needed
		}
	}
}

// delete deletes a tool root unless somebody uses it. It is renamed while it is
// claimed: whoever opens it afterwards finds nothing.
func (c *cache) delete(key string) (bool, error) {
	release, idle := c.claim(key)
	if !idle {
		return false, nil
	}
	defer release()
	tmp := filepath.Join(c.dir, "tmp-gc-"+key)
	if err := os.Rename(c.rootDir(key), tmp); err != nil {
		return false, fmt.Errorf("delete tool root: %w", err)
	}
	if err := os.RemoveAll(tmp); err != nil {
		return false, fmt.Errorf("delete tool root: %w", err)
	}
	return true, nil
}
