// Package toolroot makes and keeps the tool root: private, relocated copies of
// native programs, with their libraries and modules, in the user's cache.
//
// It promises that a tool root is complete or not there, that it is rebuilt
// when one of the files that it was made from changed, and that asking for an
// unchanged one costs a few milliseconds.
//
// It must not know which of the programs will be run (package policy), nor how
// the tool root gets into a sandbox.
package toolroot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/crossroot/crossroot/internal/arch"
)

// Source is where native programs come from.
type Source struct {
	Root string // "/", the host, or a directory with a native root file system; "" is "/"
	// Only, if not "", is the absolute path in Root of the one program wanted, with what it needs: an emulator.
	Only string
}

// Options of Open.
type Options struct {
	// Cache is crossroot's cache directory; it is made (0700) if missing, and
	// refused if somebody else owns it.
	Cache string
	// Target is the architecture whose name the programs of package managers
	// get.
	Target arch.Arch
	// Progress, if not nil, is told what is done while a tool root is built:
	// done of total files, and the one at work. It is called by one goroutine
	// at a time.
	Progress func(done, total int, what string)
	// Rebuild builds even if nothing changed.
	Rebuild bool
	// Like, if not nil, is an open tool root that the new one will resemble: what
	// is the same in both is shared.
	Like *Root
}

// Root is a tool root that is ready. Close it when the sandbox is gone: until
// then GC leaves it alone.
type Root struct {
	Key     string // changes when anything in it does
	Base    string // host path of the directory with all programs but…
	Variant string // …those with the target's name in them: to be laid over Base
	Index   *Index // what there is

	inUse *os.File
}

// Open gives the tool root made from src for the target, and builds it when
// there is none or its sources changed. Errors are those of the file system;
// ErrNoPrograms when src has no native programs; ErrOwner for the cache.
func Open(ctx context.Context, src Source, o Options) (*Root, error) {
	src, err := src.absolute()
	if err != nil {
		return nil, err
	}
	c, err := openCache(o.Cache)
	if err != nil {
		return nil, err
	}
	if !o.Rebuild {
		if r, err := c.current(src, o.Target); err == nil {
			return r, nil
		}
	}
	return c.build(ctx, src, o)
}

// absolute is the same source under the name that the cache knows it by.
func (s Source) absolute() (Source, error) {
	if s.Root == "" {
		s.Root = "/"
	}
	root, err := filepath.Abs(s.Root)
	if err != nil {
		return Source{}, fmt.Errorf("find tools: %w", err)
	}
	s.Root = root
	return s, nil
}

// Close says that the tool root is no longer in use.
func (r *Root) Close() error { return r.inUse.Close() }
