package repo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/crossroot/crossroot/internal/kernel/flock"
)

// cache is the directory debian in the cache's directory:
//
//	lock                            held while something is downloaded
//	release/ID/InRelease            or Release and Release.gpg; ID is made from URL and suite
//	release/ID/state                what to ask the server with, the next time
//	index/SHA256                    an index, by its own sum
//	packages/NAME/VERSION_ARCH_SHA256.deb
//	partial/…                       under way, or left by one who was killed; continued by the next
type cache struct{ dir string }

func openCache(dir string) (*cache, error) {
	if dir == "" {
		return nil, errors.New("open cache: no directory")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make cache: %w", err)
	}
	c := &cache{filepath.Join(dir, "debian")}
	for _, d := range []string{"", "release", "index", "packages", "partial"} {
		if err := os.Mkdir(c.path(d), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make cache: %w", err)
		}
	}
	for _, d := range []string{dir, c.dir} {
		if err := checkOwner(d); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// ErrOwner says that others could change the cache.
var ErrOwner = errors.New("directory belongs to somebody else or is writable by others")

func checkOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("open cache: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return &os.PathError{Op: "open cache", Path: dir, Err: ErrOwner}
	}
	return nil
}

func (c *cache) path(elements ...string) string {
	return filepath.Join(append([]string{c.dir}, elements...)...)
}

// lock waits until nobody else downloads into the cache.
func (c *cache) lock(ctx context.Context, waiting func()) (unlock func(), err error) {
	f, err := os.OpenFile(c.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock cache: %w", err)
	}
	for first := true; ; first = false {
		err := flock.Exclusive(f)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, flock.ErrLocked) {
			_ = f.Close()
			return nil, fmt.Errorf("lock cache: %w", err)
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("wait for another crossroot's downloads: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// readFile reads a file of the cache of at most limit bytes.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > limit {
		return nil, &os.PathError{Op: "read", Path: name, Err: fmt.Errorf("not a file of at most %d bytes", limit)}
	}
	data := make([]byte, st.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}

// writeFile replaces a file as a whole.
func writeFile(name string, data []byte) error {
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// whole says whether a file has this size and sum.
func whole(name string, size int64, sum string) bool {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() != size {
		return false
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return false
	}
	return hex.EncodeToString(h.Sum(nil)) == sum
}

// room returns an error when the cache's file system lacks the space.
func (c *cache) room(need int64) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(c.dir, &st); err != nil {
		return nil
	}
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return &Error{"", "", Local, fmt.Errorf("%s: %d MiB are needed, %d are free: %w", c.dir, need>>20, free>>20, syscall.ENOSPC)}
	}
	return nil
}
