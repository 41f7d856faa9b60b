package rootpath

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrName says that a name is not one component.
var ErrName = errors.New("not the name of a directory entry")

// Info is what stat says of an inode. Ctime is in seconds.
type Info struct {
	Dev, Ino uint64
	Size     int64
	Ctime    int64
	mode     uint32
}

// Regular says whether it is a regular file.
func (i Info) Regular() bool { return i.mode&unix.S_IFMT == unix.S_IFREG }

// Dir says whether it is a directory.
func (i Info) Dir() bool { return i.mode&unix.S_IFMT == unix.S_IFDIR }

// Symlink says whether it is a symbolic link.
func (i Info) Symlink() bool { return i.mode&unix.S_IFMT == unix.S_IFLNK }

// Same says whether both are one inode.
func (i Info) Same(other Info) bool { return i.Dev == other.Dev && i.Ino == other.Ino }

// Stat describes an open file.
func Stat(f *os.File) (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return Info{}, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return info(st), nil
}

// LstatAt describes an entry of an open directory, not followed. The name is one component.
func LstatAt(dir *os.File, name string) (Info, error) {
	var st unix.Stat_t
	err := call("lstat", dir, name, func(fd int) error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return info(st), err
}

// symlink makes a link of that name; an existing name is an error.
func symlink(target string, dir *os.File, name string) error {
	return call("symlink", dir, name, func(fd int) error { return unix.Symlinkat(target, fd, name) })
}

// unlink removes the entry unless it is a directory.
func unlink(dir *os.File, name string) error {
	return call("unlink", dir, name, func(fd int) error { return unix.Unlinkat(fd, name, 0) })
}

// rename gives an entry another name in the same directory, replacing what has it.
func rename(dir *os.File, from, to string) error {
	if err := check("rename", dir, to); err != nil {
		return err
	}
	return call("rename", dir, from, func(fd int) error { return unix.Renameat(fd, from, fd, to) })
}

// mkdir makes a directory; the umask applies.
func mkdir(dir *os.File, name string, mode os.FileMode) error {
	return call("mkdir", dir, name, func(fd int) error { return unix.Mkdirat(fd, name, uint32(mode.Perm())) })
}

// create opens a regular file for writing, made or emptied; a symbolic link in its place is an error, a FIFO or
// device too. The umask applies.
func create(dir *os.File, name string, mode os.FileMode) (*os.File, error) {
	var f *os.File
	err := call("create", dir, name, func(dirfd int) error {
		const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
		fd, err := unix.Openat(dirfd, name, flags, uint32(mode.Perm()))
		if err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), dir.Name()+"/"+name)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return unix.EINVAL
		}
		return unix.Ftruncate(fd, 0)
	})
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, err
	}
	return f, nil
}

func info(st unix.Stat_t) Info {
	return Info{Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size, Ctime: int64(st.Ctim.Sec), mode: st.Mode}
}

func check(op string, dir *os.File, name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') {
		return &os.PathError{Op: op, Path: dir.Name() + "/" + name, Err: ErrName}
	}
	return nil
}

func call(op string, dir *os.File, name string, f func(fd int) error) error {
	if err := check(op, dir, name); err != nil {
		return err
	}
	for {
		err := f(int(dir.Fd()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: op, Path: dir.Name() + "/" + name, Err: err}
		}
		return nil
	}
}
