package toolroot

import (
	"fmt"
	"io"
	"path"
	"sort"
	"strings"

	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/rootfs"
)

// openELF opens an ELF file of the source; call done when it was read.
func openELF(src *rootfs.Root, real string) (image *elfimage.Image, done func(), err error) {
	f, err := src.Open(real)
	if err != nil {
		return nil, nil, err
	}
	done = func() { _ = f.Close() }
	st, err := f.Stat()
	if err == nil {
		image, err = elfimage.Open(f, st.Size())
	}
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return image, done, nil
}

// readSmall reads a file of at most limit bytes.
func readSmall(src *rootfs.Root, name string, limit int64) ([]byte, error) {
	real, _, err := src.Resolve(name)
	if err != nil {
		return nil, err
	}
	f, err := src.Open(real)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return b, nil
}

// glob lists what matches a pattern whose last element alone may have
// wildcards (path.Match), sorted. A path without wildcards is returned as it
// is.
func glob(src *rootfs.Root, pattern string) []string {
	dir, last := path.Split(pattern)
	if !strings.ContainsAny(last, "*?[") || last == "[" {
		return []string{pattern}
	}
	real, _, err := src.Resolve(dir)
	if err != nil {
		return nil
	}
	entries, err := src.ReadDir(real)
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		if ok, _ := path.Match(last, e.Name()); ok {
			found = append(found, path.Join(dir, e.Name()))
		}
	}
	sort.Strings(found)
	return found
}
