package repo

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// GC removes from a cache directory what nobody used since: packages, indexes, Release files, and downloads that nobody
// went on with. It returns how many bytes that was. It must not run while packages are being unpacked that are as old.
func GC(ctx context.Context, dir string, since time.Time) (bytes int64, err error) {
	c, err := openCache(dir)
	if err != nil {
		return 0, err
	}
	unlock, err := c.lock(ctx, func() {})
	if err != nil {
		return 0, err
	}
	defer unlock()
	for _, sub := range []string{"packages", "index", "release", "partial"} {
		err = filepath.WalkDir(c.path(sub), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil || !info.ModTime().Before(since) {
				return err
			}
			bytes += info.Size()
			if err := os.Remove(name); err != nil {
				return err
			}
			if dir := filepath.Dir(name); dir != c.path(sub) {
				_ = os.Remove(dir) // when it is empty now
			}
			return ctx.Err()
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return bytes, err
		}
	}
	return bytes, nil
}

// touch says that a file is in use.
func touch(name string) {
	now := time.Now()
	_ = os.Chtimes(name, now, now)
}
