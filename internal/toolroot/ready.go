package toolroot

import (
	"errors"
	"path/filepath"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/rootfs"
)

// ErrNotBuilt says that there is no tool root of the source yet, or that the
// source changed since.
var ErrNotBuilt = errors.New("not built yet")

// Ready describes the tool root of a source without building it: ErrNotBuilt
// when Open would have to, ErrNoPrograms when it couldn't. What belongs to one
// target only is not in the index.
func Ready(source Source, cacheDir string) (*Index, error) {
	source, err := source.absolute()
	if err != nil {
		return nil, err
	}
	c, err := openCache(cacheDir)
	if err != nil {
		return nil, err
	}
	src, err := rootfs.Open(source.Root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }()
	key, lines, err := readStamp(c.stampName(source))
	if err == nil && unchanged(src, lines) {
		x := &Index{}
		if err := readJSON(filepath.Join(c.rootDir(key), "base", indexName), x); err == nil {
			x.fill()
			return x, nil
		}
	}
	if _, err := findLayout(src, arch.Host()); err != nil {
		return nil, err
	}
	return nil, ErrNotBuilt
}

// Made gives the tool root that was made of a source, without a look at whether the source is as it was: for one that
// never changes, such as a twin. ErrNotBuilt when Open would have to make it.
func Made(source Source, o Options) (*Root, error) {
	source, err := source.absolute()
	if err != nil {
		return nil, err
	}
	c, err := openCache(o.Cache)
	if err != nil {
		return nil, err
	}
	key, _, err := readStamp(c.stampName(source))
	if err == nil {
		if r, err := c.use(key, o.Target); err == nil {
			return r, nil
		}
	}
	return nil, ErrNotBuilt
}
