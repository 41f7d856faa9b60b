// Package unpack lays the files of a Debian package into a directory of their own.
//
// It promises that nothing outside of that directory is touched whatever the package says: every name is made relative
// to a descriptor, no symbolic link is followed, no file that exists is opened. What it makes belongs to the caller,
// is writable by nobody else and never set-id. It must not know what the files are for.
package unpack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/archive"
	"github.com/crossroot/crossroot/internal/kernel/at"
)

// ErrNotEmpty says that the directory isn't fresh.
var ErrNotEmpty = errors.New("directory is not empty")

// ErrNoSpace says that the package is larger, by what it says itself, than the room there is.
var ErrNoSpace = errors.New("not enough room on the file system")

// Extract makes the files of a package that keep wants (nil: all) in dir, which must be empty, and returns what it made,
// in order. A hard link to a file that keep didn't want isn't made either. Modes are 0755 or 0644, by the owner's right to
// execute; directories, also those that keep didn't want but something lies in, are 0700; times are now.
//
// Only without an error was the package whole, with the errors of package archive or the file system's; otherwise dir
// holds a part, and the caller removes it.
func Extract(ctx context.Context, a *archive.Archive, dir *os.File, keep func(archive.Entry) bool) ([]archive.Entry, error) {
	if err := check(a, dir); err != nil {
		return nil, err
	}
	files, err := a.Files()
	if err != nil {
		return nil, err
	}
	defer func() { _ = files.Close() }()
	top := &at.Dir{}
	cursor, err := at.NewCursor(int(dir.Fd()), top)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir.Name(), Err: err}
	}
	defer cursor.Close()
	x := &extractor{ctx: ctx, root: dir.Name(), cursor: cursor, files: files, dirs: map[string]*at.Dir{".": top}, made: map[string]bool{}}
	var record []archive.Entry
	for {
		e, err := files.Next()
		switch {
		case err == io.EOF:
			return record, nil
		case err != nil:
			return record, err
		case ctx.Err() != nil:
			return record, ctx.Err()
		case keep != nil && !keep(e) || e.Type == archive.Hardlink && !x.made[e.Link]:
			continue
		}
		if err := x.make(e); err != nil {
			return record, err
		}
		record = append(record, e)
	}
}

// check looks at the directory before anything is made.
func check(a *archive.Archive, dir *os.File) error {
	empty, err := at.Empty(int(dir.Fd()))
	if err == nil && !empty {
		err = ErrNotEmpty
	}
	if err != nil {
		return &os.PathError{Op: "unpack into", Path: dir.Name(), Err: err}
	}
	space, err := at.Free(int(dir.Fd()))
	if err == nil && a.Control.InstalledSize > space.Bytes {
		err = fmt.Errorf("%w: %d MB wanted, %d MB free", ErrNoSpace, a.Control.InstalledSize>>20, space.Bytes>>20)
	}
	if err != nil {
		return &os.PathError{Op: "unpack into", Path: dir.Name(), Err: err}
	}
	return nil
}

// extractor makes inodes: nothing else here does.
type extractor struct {
	ctx    context.Context
	root   string // for messages
	cursor *at.Cursor
	files  *archive.Files
	dirs   map[string]*at.Dir // made
	made   map[string]bool    // files
	buf    []byte
}

func (x *extractor) make(e archive.Entry) error {
	if e.Type == archive.Directory {
		_, err := x.dir(e.Name)
		return err
	}
	parent, err := x.dir(path.Dir(e.Name))
	if err != nil {
		return err
	}
	fd, err := x.cursor.Seek(parent)
	if err != nil {
		return x.fail("open", path.Dir(e.Name), err)
	}
	base := path.Base(e.Name)
	switch e.Type {
	case archive.Symlink:
		err = at.MakeSymlink(e.Link, fd, base)
	case archive.Hardlink:
		err = x.link(e.Link, base, parent)
		x.made[e.Name] = err == nil
	case archive.File:
		err = x.file(fd, base, e)
		x.made[e.Name] = err == nil
	}
	if err != nil {
		return x.fail("make", e.Name, err)
	}
	return nil
}

// dir makes a directory and those above it, unless made already.
func (x *extractor) dir(name string) (*at.Dir, error) {
	if d, ok := x.dirs[name]; ok {
		return d, nil
	}
	parent, err := x.dir(path.Dir(name))
	if err != nil {
		return nil, err
	}
	fd, err := x.cursor.Seek(parent)
	if err == nil {
		err = at.Mkdir(fd, path.Base(name))
	}
	if err != nil {
		return nil, x.fail("make directory", name, err)
	}
	d := parent.Child(path.Base(name))
	x.dirs[name] = d
	return d, nil
}

// file writes a file.
func (x *extractor) file(dir int, base string, e archive.Entry) error {
	fd, err := at.CreateFile(dir, base)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	err = x.write(f)
	mode := uint32(0o644)
	if e.Mode&0o100 != 0 {
		mode = 0o755
	}
	return errors.Join(err, at.Fchmod(fd, mode), f.Close())
}

func (x *extractor) write(f *os.File) error {
	if x.buf == nil {
		x.buf = make([]byte, 128<<10)
	}
	for {
		n, err := x.files.Read(x.buf)
		if n > 0 {
			if _, err := f.Write(x.buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case x.ctx.Err() != nil:
			return x.ctx.Err()
		}
	}
}

// link makes a hard link to a file made before. The two directories are reached one after the other: the first is held
// by a second descriptor.
func (x *extractor) link(target, base string, parent *at.Dir) error {
	from, err := x.cursor.Seek(x.dirs[path.Dir(target)])
	if err != nil {
		return err
	}
	from, err = at.Dup(from)
	if err != nil {
		return err
	}
	defer at.Close(from)
	to, err := x.cursor.Seek(parent)
	if err != nil {
		return err
	}
	return at.Link(from, path.Base(target), to, base)
}

// fail names the file once, and not at all where the package itself is at fault.
func (x *extractor) fail(op, name string, err error) error {
	if errors.Is(err, archive.ErrDamaged) || errors.Is(err, archive.ErrTooLarge) || x.ctx.Err() != nil {
		return err
	}
	var below *os.PathError
	if errors.As(err, &below) {
		err = below.Err
	}
	return &os.PathError{Op: op, Path: strings.TrimSuffix(x.root, "/") + "/" + name, Err: err}
}
