package twin

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
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
	if err := writeRecord(filepath.Join(tmp, "record"), entries); err != nil {
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

// file is a line of a record: a file and its size in bytes, or a symbolic link, size -1.
type file struct {
	name string // relative
	size int64
}

// writeRecord notes what a directory holds: a line for each file, size and name, and a last one.
func writeRecord(name string, entries []archive.Entry) error {
	sizes := map[string]int64{}
	var files []file
	for _, e := range entries {
		size := e.Size
		switch e.Type {
		case archive.Symlink:
			size = -1
		case archive.Hardlink:
			size = sizes[e.Link]
		}
		sizes[e.Name] = size
		files = append(files, file{e.Name, size})
	}
	return writeFiles(name, files)
}

func writeFiles(name string, files []file) error {
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintf(&b, "%d %s\n", f.size, f.name)
	}
	b.WriteString("end\n")
	return os.WriteFile(name, []byte(b.String()), 0o600)
}

// readRecord reads a record; ok is false when there is none, or only a part of one.
func readRecord(name string) (files []file, ok bool) {
	f, err := os.Open(name)
	if err != nil {
		return nil, false
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if lines.Text() == "end" {
			return files, true
		}
		number, name, _ := strings.Cut(lines.Text(), " ")
		size, err := strconv.ParseInt(number, 10, 64)
		if err != nil || name == "" {
			return nil, false
		}
		files = append(files, file{name, size})
	}
	return nil, false
}

// checkPackage says whether a package is unpacked and whole, by names and sizes.
func (c *cache) checkPackage(id string) bool {
	return checkFiles(c.path("package", id))
}

// checkTree says the same of a twin.
func (c *cache) checkTree(key string) bool {
	return isKey(key) && checkFiles(c.path("tree-"+key))
}

func checkFiles(dir string) bool {
	files, ok := readRecord(filepath.Join(dir, "record"))
	if !ok {
		return false
	}
	sub := dir + "/files/"
	if _, err := os.Lstat(sub); err != nil {
		sub = dir + "/root/"
	}
	for _, f := range files {
		info, err := os.Lstat(sub + f.name)
		switch {
		case err != nil:
			return false
		case f.size < 0 && info.Mode().Type() != os.ModeSymlink:
			return false
		case f.size >= 0 && (!info.Mode().IsRegular() || info.Size() != f.size):
			return false
		}
	}
	return true
}
