package toolroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/rootfs"
)

// build makes what is missing of the tool root. Whoever comes second waits,
// and finds it ready.
func (c *cache) build(ctx context.Context, source Source, o Options) (*Root, error) {
	unlock, err := c.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	c.sweep()
	if !o.Rebuild {
		if r, err := c.current(source, o.Target); err == nil {
			return r, nil
		}
	}
	const tries = 3 // somebody may be installing packages just now
	for try := 1; ; try++ {
		r, err := c.collectAndMake(ctx, source, o)
		if !errors.Is(err, errStale) || try == tries {
			return r, err
		}
	}
}

// collectAndMake builds from the source as it is. The error wraps errStale if
// it changed meanwhile.
func (c *cache) collectAndMake(ctx context.Context, source Source, o Options) (*Root, error) {
	src, err := rootfs.Open(source.Root)
	if err != nil {
		return nil, fmt.Errorf("collect tools: %w", err)
	}
	defer func() { _ = src.Close() }()
	col, err := collect(src, arch.Host(), source.Only)
	if err != nil {
		return nil, fmt.Errorf("collect tools from %s: %w", source.Root, err)
	}
	stamp := stampOf(col)
	if o.Rebuild { // the old one may be in use
		stamp.key += fmt.Sprintf("-%x", time.Now().UnixNano())
	}
	if err := c.make(ctx, col, stamp.key, o); err != nil {
		return nil, err
	}
	r, err := c.use(stamp.key, o.Target)
	if err != nil {
		return nil, err
	}
	if err := replaceFile(c.stampName(source), stamp.bytes()); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// make builds base and variant unless they are there and readable.
func (c *cache) make(ctx context.Context, col *collection, key string, o Options) error {
	dir := c.rootDir(key)
	if r, err := c.use(key, o.Target); err == nil {
		return r.Close()
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make tool root: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "in-use"), nil, 0o600); err != nil {
		return fmt.Errorf("make tool root: %w", err)
	}
	b := newBuilder(col, o)
	var x Index
	if readJSON(filepath.Join(dir, "base", indexName), &x) != nil || x.Format != format {
		if err := c.install(filepath.Join(dir, "base"), func(tmp string) error { return b.base(ctx, tmp) }); err != nil {
			return err
		}
	}
	return c.install(filepath.Join(dir, variantName(o.Target)), func(tmp string) error { return b.variant(ctx, tmp) })
}

// install lets fill fill a new directory and puts it in place of what is at
// name: that is moved away first, for one who was killed in between leaves
// nothing there, which is no tool root.
func (c *cache) install(name string, fill func(tmp string) error) error {
	tmp, err := os.MkdirTemp(c.dir, "tmp-")
	if err != nil {
		return fmt.Errorf("build tool root: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	fresh := filepath.Join(tmp, "new")
	if err := makeDirs(tmp, "new"); err != nil {
		return fmt.Errorf("build tool root: %w", err)
	}
	if err := fill(fresh); err != nil {
		return err
	}
	if err := os.Rename(name, filepath.Join(tmp, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("build tool root: %w", err)
	}
	if err := os.Rename(fresh, name); err != nil {
		return fmt.Errorf("build tool root: %w", err)
	}
	return nil
}

// replaceFile writes a file under another name and renames it.
func replaceFile(name string, b []byte) error {
	tmp := filepath.Join(filepath.Dir(name), "tmp-"+filepath.Base(name))
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("write stamp: %w", err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return fmt.Errorf("write stamp: %w", err)
	}
	return nil
}
