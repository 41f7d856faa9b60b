package at

import (
	"golang.org/x/sys/unix"
)

// RemoveAll removes name in dir and everything below it, however deep. What is missing is no error. It stops at the
// first thing that can't be removed and returns its path below dir with the error.
func RemoveAll(dir int, name string) (string, error) {
	err := Unlink(dir, name)
	if err == nil || err == unix.ENOENT {
		return "", nil
	}
	if err != unix.EISDIR {
		return name, err
	}
	top := &Dir{}
	cur, err := NewCursor(dir, top)
	if err != nil {
		return name, err
	}
	defer cur.Close()
	where, err := cur.removeTree(top.Child(name))
	if err != nil {
		return where.Path(), err
	}
	return "", nil
}

// removeTree empties and removes d; on error it returns the place of trouble.
func (c *Cursor) removeTree(d *Dir) (*Dir, error) {
	fd, err := c.Seek(d)
	if err == unix.EACCES {
		fd, err = c.unlock(d)
	}
	if err != nil {
		return d, err
	}
	names, err := Names(fd)
	if err != nil {
		return d, err
	}
	for _, name := range names {
		if fd, err = c.Seek(d); err != nil {
			return d, err
		}
		switch err := Unlink(fd, name); err {
		case nil, unix.ENOENT:
		case unix.EISDIR:
			if where, err := c.removeTree(d.Child(name)); err != nil {
				return where, err
			}
		default:
			return d.Child(name), err
		}
	}
	if fd, err = c.Seek(d.Parent); err != nil {
		return d, err
	}
	if err := Rmdir(fd, d.Name); err != nil && err != unix.ENOENT {
		return d, err
	}
	return nil, nil
}

// unlock gives the owner its rights back: an ordinary user can't enter its own directory of mode 0000.
func (c *Cursor) unlock(d *Dir) (int, error) {
	fd, err := c.Seek(d.Parent)
	if err != nil {
		return -1, err
	}
	err = unix.Fchmodat(fd, d.Name, 0o700, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return -1, unix.EACCES
	}
	return c.Seek(d)
}
