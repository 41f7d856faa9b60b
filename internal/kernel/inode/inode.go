// Package inode looks at one file system object through a descriptor, so that what is described is what was opened,
// whatever happens to its name meanwhile. Nothing is followed, FIFOs and devices are never opened. It knows nothing of
// trees. The caller's procfs must be mounted on /proc (a descriptor without read access is reopened and its attributes
// are read through /proc/self/fd).
package inode

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Inode is an open object. Its fields are those of the moment when it was opened.
type Inode struct {
	Format       uint32 // S_IFMT bits of stat(2)
	Mode         uint32 // permission bits with set-id and sticky, 07777
	UID, GID     uint32
	Links        uint32
	Size         int64 // bytes
	Dev, Ino     uint64
	Major, Minor uint32 // of a device
	ModTime      time.Time
	MountRoot    bool // something is mounted here

	fd   int
	name string
}

// Open opens name, which must not contain a slash, in dir; "." is dir itself.
func Open(dir *os.File, name string) (*Inode, error) { return openat(int(dir.Fd()), dir.Name(), name) }

// Open opens an entry of a directory; "." and ".." are allowed.
func (i *Inode) Open(name string) (*Inode, error) { return openat(i.fd, i.name, name) }

func openat(dirfd int, parent, name string) (*Inode, error) {
	full := parent + "/" + name
	if strings.Contains(name, "/") {
		return nil, &os.PathError{Op: "open", Path: full, Err: unix.EINVAL}
	}
	fd, err := retry(func() (int, error) {
		return unix.Openat(dirfd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: full, Err: err}
	}
	i := &Inode{fd: fd, name: full}
	if err := i.stat(); err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}

func (i *Inode) stat() error {
	var x unix.Statx_t
	err := unix.Statx(i.fd, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &x)
	if err != nil {
		return &os.PathError{Op: "stat", Path: i.name, Err: err}
	}
	i.Format, i.Mode = uint32(x.Mode)&unix.S_IFMT, uint32(x.Mode)&0o7777
	i.UID, i.GID, i.Links, i.Size = x.Uid, x.Gid, x.Nlink, int64(x.Size)
	i.Dev, i.Ino = unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino
	i.Major, i.Minor = x.Rdev_major, x.Rdev_minor
	i.ModTime = time.Unix(x.Mtime.Sec, int64(x.Mtime.Nsec))
	i.MountRoot = x.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	return nil
}

// Close releases the descriptor.
func (i *Inode) Close() error { return unix.Close(i.fd) }

// Same reports whether both are the same object.
func (i *Inode) Same(other *Inode) bool { return i.Dev == other.Dev && i.Ino == other.Ino }

// Names lists a directory, sorted bytewise, without "." and "..".
func (i *Inode) Names() ([]string, error) {
	f, err := i.reopen(unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	return names, nil
}

// Content opens a regular file for reading.
func (i *Inode) Content() (*os.File, error) {
	if i.Format != unix.S_IFREG {
		return nil, &os.PathError{Op: "read", Path: i.name, Err: unix.EINVAL}
	}
	return i.reopen(0)
}

func (i *Inode) reopen(flags int) (*os.File, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(i.proc(), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|flags, 0)
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: i.name, Err: err}
	}
	return os.NewFile(uintptr(fd), i.name), nil
}

func (i *Inode) proc() string { return fmt.Sprintf("/proc/self/fd/%d", i.fd) }

// Target reads a symbolic link.
func (i *Inode) Target() (string, error) {
	buf := make([]byte, 4096) // PATH_MAX: the kernel makes no longer link
	n, err := unix.Readlinkat(i.fd, "", buf)
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: i.name, Err: err}
	}
	return string(buf[:n]), nil
}

// Xattrs returns the extended attributes that the caller may see, nil when there are none or the file system has none.
func (i *Inode) Xattrs() (map[string]string, error) {
	list, err := grow(func(b []byte) (int, error) { return unix.Listxattr(i.proc(), b) })
	if err == unix.ENOTSUP || (err == nil && len(list) == 0) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "listxattr", Path: i.name, Err: err}
	}
	attrs := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		value, err := grow(func(b []byte) (int, error) { return unix.Getxattr(i.proc(), name, b) })
		if err != nil {
			return nil, &os.PathError{Op: "getxattr " + name, Path: i.name, Err: err}
		}
		attrs[name] = string(value)
	}
	return attrs, nil
}

// grow calls get with a buffer that is large enough; the kernel's limit is 64 KiB (linux/limits.h, XATTR_SIZE_MAX).
func grow(get func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := get(buf)
		if err == nil {
			return buf[:n], nil
		}
		if err != unix.ERANGE || size > 1<<17 {
			return nil, err
		}
	}
}

func retry(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); err != unix.EINTR {
			return n, err
		}
	}
}
