package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"syscall"

	"github.com/crossroot/crossroot/internal/kernel/inode"
)

// Options of Scan; the zero value reads everything but other mounts, with ids as they are.
type Options struct {
	// UID and GID turn an id of the file system into the recorded one: where a user's root is owned by a subordinate
	// range, the id inside.
	UID, GID func(uint32) uint32
	// Skip says whether a path, and all below it, is left out.
	Skip func(path string) bool
	// SkipXattr says whether an extended attribute is left out.
	SkipXattr func(name string) bool
	// CrossMounts reads what is mounted inside the tree, too.
	CrossMounts bool
	// Hash gives the hash for a file's content; nil: its content isn't read. Without Hash it is SHA-256 for all.
	Hash func(path string) hash.Hash
	// Tolerant records what can't be read as Entry.Unread in place of an error.
	Tolerant bool
}

// ErrChanged: the tree was changed while it was read.
var ErrChanged = errors.New("tree changed while it was read")

// openDirs is how many directories stay open on the way down; deeper ones are found again through "..".
const openDirs = 64

// Scan describes the tree below dir. Any object that can't be read is an error that names it.
func Scan(dir *os.File, o Options) (*Manifest, error) {
	top, err := inode.Open(dir, ".")
	if err != nil {
		return nil, err
	}
	s := &scanner{options: o, groups: map[[2]uint64][]string{}}
	top, err = s.walk(top, ".", 0)
	if err != nil {
		return nil, err
	}
	top.Close()
	s.manifest.finish(s.groups)
	return &s.manifest, nil
}

type scanner struct {
	options  Options
	manifest Manifest
	groups   map[[2]uint64][]string // (device, inode) → paths
}

// walk records i, which it owns, and everything below. It returns the same object, opened anew if it was very deep;
// on error it is closed.
func (s *scanner) walk(i *inode.Inode, path string, depth int) (*inode.Inode, error) {
	e, err := s.entry(i, path)
	if err != nil {
		i.Close()
		return nil, fmt.Errorf("scan %q: %w", path, err)
	}
	s.manifest.Entries = append(s.manifest.Entries, e)
	if e.Type != Dir || e.Mount {
		if e.Type != Dir && i.Links > 1 {
			key := [2]uint64{i.Dev, i.Ino}
			s.groups[key] = append(s.groups[key], path)
		}
		return i, nil
	}
	names, err := i.Names()
	if err != nil && s.options.Tolerant {
		s.manifest.Entries[len(s.manifest.Entries)-1].Unread = reason(err)
		return i, nil
	}
	if err != nil {
		i.Close()
		return nil, fmt.Errorf("scan %q: %w", path, err)
	}
	for _, name := range names {
		if i, err = s.child(i, path, name, depth+1); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// child records one name in the directory i, which it owns and returns.
func (s *scanner) child(i *inode.Inode, path, name string, depth int) (*inode.Inode, error) {
	full := name
	if path != "." {
		full = path + "/" + name
	}
	if s.options.Skip != nil && s.options.Skip(full) {
		return i, nil
	}
	c, err := i.Open(name)
	if err != nil {
		i.Close()
		return nil, fmt.Errorf("scan %q: %w", full, err)
	}
	deep := depth > openDirs && c.Format == syscall.S_IFDIR
	if deep {
		i.Close()
	}
	c, err = s.walk(c, full, depth)
	if err != nil {
		if !deep {
			i.Close()
		}
		return nil, err
	}
	defer c.Close()
	if !deep {
		return i, nil
	}
	again, err := c.Open("..")
	if err != nil {
		return nil, fmt.Errorf("scan %q: %w", path, err)
	}
	if !again.Same(i) {
		again.Close()
		return nil, fmt.Errorf("scan %q: %w", path, ErrChanged)
	}
	return again, nil
}

var types = map[uint32]Type{
	syscall.S_IFREG: File, syscall.S_IFDIR: Dir, syscall.S_IFLNK: Symlink, syscall.S_IFCHR: Char,
	syscall.S_IFBLK: Block, syscall.S_IFIFO: FIFO, syscall.S_IFSOCK: Socket,
}

func (s *scanner) entry(i *inode.Inode, path string) (Entry, error) {
	e := Entry{Path: path, Type: types[i.Format], Mode: i.Mode, UID: i.UID, GID: i.GID, ModTime: i.ModTime}
	if s.options.UID != nil {
		e.UID = s.options.UID(i.UID)
	}
	if s.options.GID != nil {
		e.GID = s.options.GID(i.GID)
	}
	var err error
	switch e.Type {
	case File:
		e.Size, e.Hash, err = s.digest(i, path)
	case Symlink:
		e.Mode = 0o777
		e.Target, err = i.Target()
	case Char, Block:
		e.Major, e.Minor = i.Major, i.Minor
	case Dir:
		e.Mount = i.MountRoot && path != "." && !s.options.CrossMounts
	case "":
		err = fmt.Errorf("unknown file type %#o", i.Format)
	}
	if err == nil {
		e.Xattrs, err = s.xattrs(i)
	}
	if err != nil && s.options.Tolerant {
		e.Unread, err = reason(err), nil
	}
	return e, err
}

// reason is an error without the names that it is about.
func reason(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}

func (s *scanner) xattrs(i *inode.Inode) (map[string]string, error) {
	attrs, err := i.Xattrs()
	if err != nil {
		return nil, err
	}
	for name := range attrs {
		if s.options.SkipXattr != nil && s.options.SkipXattr(name) {
			delete(attrs, name)
		}
	}
	if len(attrs) == 0 {
		return nil, nil
	}
	return attrs, nil
}

// digest returns how many bytes were read and their hash.
func (s *scanner) digest(i *inode.Inode, path string) (int64, string, error) {
	h := sha256.New()
	if s.options.Hash != nil {
		if h = s.options.Hash(path); h == nil {
			return i.Size, "", nil
		}
	}
	f, err := i.Content()
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	n, err := io.Copy(h, f)
	return n, hex.EncodeToString(h.Sum(nil)), err
}
