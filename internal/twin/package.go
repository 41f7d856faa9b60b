package twin

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/archive"
	"github.com/crossroot/crossroot/internal/debian/unpack"
)

// wanted says which of a package's files a tool root can need: programs, libraries and what they load. Everything else is
// the target's own, and headers and static libraries are nobody's.
func wanted(e archive.Entry) bool {
	return e.Type != archive.Directory && wantedName(e.Name)
}

func wantedName(full string) bool {
	if strings.ContainsAny(full, "\n\r") {
		return false
	}
	name := strings.TrimPrefix(full, "usr/")
	top, below, _ := strings.Cut(name, "/")
	switch {
	case strings.HasPrefix(full, "etc/ld.so.conf"):
		return true
	case top == "lib" && (strings.HasPrefix(below, "debug/") || strings.HasPrefix(below, "modules/") || strings.HasPrefix(below, "firmware/")):
		return false
	case path.Ext(name) == ".a" || path.Ext(name) == ".o":
		return false
	}
	return top == "bin" || top == "sbin" || top == "libexec" || top == "games" || strings.HasPrefix(top, "lib")
}

// unpack unpacks a package's file into the cache.
func (c *cache) unpack(ctx context.Context, name string, as choice, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	a, err := archive.Open(f, info.Size())
	if err != nil {
		return err
	}
	if a.Control.Package != name || a.Control.Version != as.Version || a.Control.Architecture != as.Arch {
		return fmt.Errorf("%w: it is %s %s for %s, by what it says itself", archive.ErrDamaged, a.Control.Package, a.Control.Version, a.Control.Architecture)
	}
	tmp, err := os.MkdirTemp(c.dir, "tmp-package-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	entries, err := extract(ctx, a, filepath.Join(tmp, "files"))
	if err != nil {
		return err
	}
	if err := writeRecord(tmp, entries); err != nil {
		return err
	}
	dir := c.path("package", as.id(name))
	if err := os.RemoveAll(dir); err != nil { // a damaged one
		return err
	}
	return os.Rename(tmp, dir)
}

func extract(ctx context.Context, a *archive.Archive, name string) ([]archive.Entry, error) {
	if err := os.Mkdir(name, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	return unpack.Extract(ctx, a, dir, wanted)
}
