package keeper

import (
	"encoding/json"
	"os"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/protocol"
)

// Note is one line of the file that says where mount points were made: whoever finds the file after the end of its wrap,
// which must have been killed then, removes them.
type Note struct {
	Path     string
	Dev, Ino uint64
}

// note writes a root down before its mount point is made, once.
func (k *keeper) note(r *root, dir *os.File) {
	if k.notes == nil || r.noted {
		return
	}
	var st unix.Stat_t
	if unix.Fstat(int(dir.Fd()), &st) != nil {
		return
	}
	line, err := json.Marshal(Note{r.name, st.Dev, st.Ino})
	if err == nil {
		_, err = k.notes.Write(append(line, '\n'))
	}
	r.noted = err == nil
}

// Remove takes away the mount point that a note is about; nil if there is nothing.
func (n Note) Remove() error {
	fd, err := unix.Open(n.Path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: n.Path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), n.Path)
	defer dir.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Dev != n.Dev || st.Ino != n.Ino {
		return err
	}
	err = keepTimes(dir, func() error { return unix.Unlinkat(fd, protocol.HiddenDir[1:], unix.AT_REMOVEDIR) })
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ENOTEMPTY { // not the keeper's
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "remove", Path: n.Path + protocol.HiddenDir, Err: err}
	}
	return nil
}

// Left reports whether the mount point that a note is about is there.
func (n Note) Left() bool {
	var root, point unix.Stat_t
	return unix.Lstat(n.Path, &root) == nil && root.Dev == n.Dev && root.Ino == n.Ino &&
		unix.Lstat(n.Path+protocol.HiddenDir, &point) == nil && point.Mode&unix.S_IFMT == unix.S_IFDIR
}
