// Package rootpath does one thing to one path inside a root: look, open, make, remove. Paths are resolved by the
// kernel with the root as their end, relative ones from a working directory; only the last component is acted upon,
// and never followed when something is made or removed, so a hostile tree can't lead it elsewhere.
//
// Errors are *os.PathError. It must not know what the paths are for.
package rootpath

import (
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
)

// Root is a root directory and a working directory in it.
type Root struct {
	root *os.File
	cwd  string
}

// Open opens the directory root ("" is "/"). The working directory is the process's own for "/", else the root.
func Open(root string) (*Root, error) {
	if root == "" {
		root = "/"
	}
	f, err := os.OpenFile(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	t := &Root{root: f, cwd: "/"}
	if root == "/" {
		if wd, err := os.Getwd(); err == nil {
			t.cwd = wd
		}
	}
	return t, nil
}

// Close closes the descriptor.
func (t *Root) Close() { t.root.Close() }

// Sub is the root below a directory, as after chroot.
func (t *Root) Sub(dir string) (*Root, error) {
	f, err := fd.Open(t.root, t.abs(dir), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &Root{root: f, cwd: "/"}, nil
}

func (t *Root) abs(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return t.cwd + "/" + name
}

// Stat follows links.
func (t *Root) Stat(name string) (Info, error) { return t.status(name, 0) }

// Lstat does not follow the last component.
func (t *Root) Lstat(name string) (Info, error) { return t.status(name, unix.O_NOFOLLOW) }

func (t *Root) status(name string, flags int) (Info, error) {
	f, err := fd.Open(t.root, t.abs(name), unix.O_PATH|flags, 0)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	return Stat(f)
}

// OpenDir opens a directory to read its names.
func (t *Root) OpenDir(name string) (*os.File, error) {
	return fd.Open(t.root, t.abs(name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
}

// OpenRegular opens a regular file; anything else gives fd.ErrNotRegular.
func (t *Root) OpenRegular(name string) (*os.File, error) {
	return fd.OpenRegular(t.root, t.abs(name))
}

// ReadFile reads a regular file of at most limit bytes.
func (t *Root) ReadFile(name string, limit int64) ([]byte, error) {
	return fd.ReadFile(t.root, t.abs(name), limit)
}

// Create opens a regular file for writing, made or emptied; a symbolic link, FIFO or device in its place is an
// error. The umask applies.
func (t *Root) Create(name string, mode os.FileMode) (f *os.File, err error) {
	err = t.inParent(name, func(dir *os.File, base string) error {
		f, err = create(dir, base, mode)
		return err
	})
	return f, err
}

// Symlink makes a link called name; an existing name is an error.
func (t *Root) Symlink(target, name string) error {
	return t.inParent(name, func(dir *os.File, base string) error { return symlink(target, dir, base) })
}

// Unlink removes what is not a directory.
func (t *Root) Unlink(name string) error { return t.inParent(name, unlink) }

// Mkdir makes a directory; the umask applies.
func (t *Root) Mkdir(name string, mode os.FileMode) error {
	return t.inParent(name, func(dir *os.File, base string) error { return mkdir(dir, base, mode) })
}

// Rename gives the file another name in its directory.
func (t *Root) Rename(name, base string) error {
	return t.inParent(name, func(dir *os.File, from string) error { return rename(dir, from, base) })
}

// inParent calls f with the open directory that name lies in.
func (t *Root) inParent(name string, f func(dir *os.File, base string) error) error {
	parent, base := path.Split(t.abs(name))
	dir, err := fd.Open(t.root, parent, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	return f(dir, base)
}
