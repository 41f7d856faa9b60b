package toolroot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/flock"
	"github.com/crossroot/crossroot/internal/kernel/rootfs"
)

// ErrOwner says that the cache belongs to somebody else, who could put
// anything into it.
var ErrOwner = errors.New("owned by another user, or writable by others")

// cache is the directory where tool roots are kept:
//
//	lock                       held while something is built or deleted
//	source-ID                  stamp of a source; ID is made from its path
//	root-KEY/base              the tool root
//	root-KEY/variant-ARCH      what differs per target
//	root-KEY/in-use            locked (shared) by whoever uses it
//	tmp-*                      being built, or left by one who was killed
type cache struct{ dir string }

// openCache makes the directory if necessary and checks whose it is.
func openCache(dir string) (*cache, error) {
	if dir == "" {
		return nil, errors.New("open cache: no directory")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make cache: %w", err)
	}
	dir = filepath.Join(dir, "tools")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make cache: %w", err)
	}
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := checkOwner(d); err != nil {
			return nil, err
		}
	}
	return &cache{dir}, nil
}

func checkOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("open cache: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return &os.PathError{Op: "open cache", Path: dir, Err: syscall.ENOTDIR}
	case !ok || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0:
		return &os.PathError{Op: "open cache", Path: dir, Err: ErrOwner}
	}
	return nil
}

func (c *cache) stampName(s Source) string {
	name := s.Root
	if s.Only != "" {
		name += "\x00" + s.Only
	}
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(c.dir, "source-"+hex.EncodeToString(sum[:8]))
}

func (c *cache) rootDir(key string) string { return filepath.Join(c.dir, "root-"+key) }

func variantName(target arch.Arch) string { return "variant-" + target.Name }

// current gives the tool root of an unchanged source. Every start waits for
// it: the index is read while the source is compared, on as many CPUs as
// there are.
func (c *cache) current(source Source, target arch.Arch) (*Root, error) {
	key, lines, err := readStamp(c.stampName(source))
	if err != nil {
		return nil, err
	}
	src, err := rootfs.Open(source.Root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }()
	var stale atomic.Bool
	var wg sync.WaitGroup
	for part := range slices.Chunk(lines, max(1, (len(lines)+1)/2)) {
		wg.Go(func() {
			if !unchanged(src, part) {
				stale.Store(true)
			}
		})
	}
	r, err := c.use(key, target)
	wg.Wait()
	switch {
	case err != nil:
		return nil, err
	case stale.Load():
		_ = r.Close()
		return nil, errStale
	}
	return r, nil
}

// use opens a tool root that is ready.
func (c *cache) use(key string, target arch.Arch) (*Root, error) {
	if key == "" || strings.Contains(key, "/") {
		return nil, errStale
	}
	dir := c.rootDir(key)
	inUse, err := os.OpenFile(filepath.Join(dir, "in-use"), os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open tool root: %w", err)
	}
	r := &Root{Key: key, Base: filepath.Join(dir, "base"), Variant: filepath.Join(dir, variantName(target)), inUse: inUse}
	if err = flock.Shared(inUse); err == nil {
		r.Index, err = ReadIndex(r.Base, r.Variant)
	}
	if err != nil {
		_ = inUse.Close()
		return nil, err
	}
	return r, nil
}

// lock waits until nobody else builds or deletes.
func (c *cache) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock cache: %w", err)
	}
	for {
		switch err := flock.Exclusive(f); {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case !errors.Is(err, flock.ErrLocked):
			_ = f.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("wait for another crossroot that builds a tool root: %w", ctx.Err())
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// sweep deletes what builders that were killed left. The lock is held.
func (c *cache) sweep() {
	left, _ := filepath.Glob(filepath.Join(c.dir, "tmp-*")) // the pattern is right
	for _, name := range left {
		_ = os.RemoveAll(name) // tried again next time
	}
}
