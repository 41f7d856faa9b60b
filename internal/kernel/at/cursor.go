package at

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is a directory's place in a tree: names, not descriptors. The same Dir serves for every tree that has a
// directory of these names. Two Dirs are the same place only if they are the same pointer.
type Dir struct {
	Parent *Dir // nil at the top
	Name   string
	depth  int
	length int
}

// Child is the place of name below d.
func (d *Dir) Child(name string) *Dir {
	return &Dir{Parent: d, Name: name, depth: d.depth + 1, length: d.length + 1 + len(name)}
}

// Length is the number of bytes of the path of d, counted without making it.
func (d *Dir) Length() int { return d.length }

// Path is d's absolute path inside its tree, "/" at the top: raw bytes, for messages and reports only.
func (d *Dir) Path() string {
	if d.Parent == nil {
		return "/"
	}
	return d.join(0)
}

// Join is the absolute path of name below d.
func (d *Dir) Join(name string) string {
	if d.Parent == nil {
		return "/" + name
	}
	return d.join(1+len(name)) + "/" + name
}

func (d *Dir) join(more int) string {
	parts := make([]string, 0, d.depth)
	for p := d; p.Parent != nil; p = p.Parent {
		parts = append(parts, p.Name)
	}
	var b strings.Builder
	b.Grow(d.length + more)
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteByte('/')
		b.WriteString(parts[i])
	}
	return b.String()
}

// maxOpen bounds the descriptors that a Cursor holds, however deep its tree is.
const maxOpen = 32

// Cursor walks a tree by descriptors. It never follows a link and never leaves the mount of its top; a directory that
// it comes back to must still be the same inode (else ESTALE), so nobody who renames directories meanwhile can send
// it elsewhere.
type Cursor struct {
	steps []step
}

type step struct {
	dir *Dir
	fd  int // -1: closed to save descriptors
	ino Inode
}

// NewCursor starts at top, which has the directory top of the tree open; fd stays the caller's.
func NewCursor(fd int, top *Dir) (*Cursor, error) {
	own, err := Reopen(fd)
	if err != nil {
		return nil, err
	}
	return &Cursor{steps: []step{{dir: top, fd: own}}}, nil
}

// Close closes every descriptor.
func (c *Cursor) Close() {
	for _, s := range c.steps {
		Close(s.fd)
	}
	c.steps = nil
}

// Seek moves to d and returns its descriptor, which stays the cursor's own and is good until the next Seek.
func (c *Cursor) Seek(d *Dir) (int, error) {
	here := c.steps[len(c.steps)-1].dir
	if here == d {
		return c.top().fd, nil
	}
	var down []*Dir
	for target := d; target != here; {
		if target != nil && target.depth > here.depth {
			down = append(down, target)
			target = target.Parent
			continue
		}
		if err := c.pop(); err != nil {
			return -1, err
		}
		if target != nil && target.depth == here.depth {
			down = append(down, target)
			target = target.Parent
		}
		here = c.top().dir
	}
	for i := len(down) - 1; i >= 0; i-- {
		if err := c.push(down[i]); err != nil {
			return -1, err
		}
	}
	return c.top().fd, nil
}

func (c *Cursor) top() *step { return &c.steps[len(c.steps)-1] }

func (c *Cursor) push(d *Dir) error {
	fd, err := OpenDir(c.top().fd, d.Name)
	if err != nil {
		return err
	}
	c.steps = append(c.steps, step{dir: d, fd: fd})
	if old := len(c.steps) - 1 - maxOpen; old > 0 {
		return c.forget(&c.steps[old])
	}
	return nil
}

// forget closes a directory high above, but remembers which inode it was.
func (c *Cursor) forget(s *step) error {
	if s.fd < 0 {
		return nil
	}
	st, err := Fstat(s.fd)
	if err != nil {
		return err
	}
	s.ino = st.Inode
	Close(s.fd)
	s.fd = -1
	return nil
}

// pop goes one directory up. The way back of a closed one is "..", believed only if the inode is the right one.
func (c *Cursor) pop() error {
	n := len(c.steps)
	if n == 1 {
		return unix.ENOTDIR // asked for a place of another tree: a programming error
	}
	child, parent := c.steps[n-1], &c.steps[n-2]
	if parent.fd < 0 {
		if err := parent.reopen(child.fd); err != nil {
			return err
		}
	}
	Close(child.fd)
	c.steps = c.steps[:n-1]
	return nil
}

func (s *step) reopen(child int) error {
	fd, err := retryFD(func() (int, error) {
		return unix.Openat(child, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	st, err := Fstat(fd)
	if err == nil && st.Inode != s.ino {
		err = unix.ESTALE
	}
	if err != nil {
		Close(fd)
		return err
	}
	s.fd = fd
	return nil
}
