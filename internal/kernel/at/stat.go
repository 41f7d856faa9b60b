package at

import (
	"golang.org/x/sys/unix"
)

// Type is an inode's type.
type Type uint8

// The types of inodes, in no order that anybody may rely on.
const (
	Unknown Type = iota
	File
	Directory
	Symlink
	FIFO
	Socket
	CharDevice
	BlockDevice
)

// String is the word for reports.
func (t Type) String() string {
	switch t {
	case File:
		return "file"
	case Directory:
		return "directory"
	case Symlink:
		return "symlink"
	case FIFO:
		return "fifo"
	case Socket:
		return "socket"
	case CharDevice:
		return "character device"
	case BlockDevice:
		return "block device"
	}
	return "unknown"
}

// Time is a point in time as the file system stores it: seconds and nanoseconds since 1970.
type Time struct {
	Sec  int64
	Nsec int64
}

// Before says whether t is earlier than u.
func (t Time) Before(u Time) bool {
	return t.Sec < u.Sec || t.Sec == u.Sec && t.Nsec < u.Nsec
}

// Clock is the time that the kernel would stamp on a change made now, or up to a tick later
// (CLOCK_REALTIME_COARSE).
func Clock() Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ts); err != nil {
		return Time{}
	}
	return Time{ts.Sec, ts.Nsec}
}

// Inode names an inode of this boot.
type Inode struct {
	Major, Minor uint32
	Number       uint64
}

// Stat describes an inode (statx(2)).
type Stat struct {
	Inode
	Type                Type
	Mode                uint32 // permission, set-id and sticky bits: 07777
	UID, GID            uint32
	Nlink               uint32
	Size, Blocks        int64 // bytes, units of 512 bytes
	RdevMajor           uint32
	RdevMinor           uint32
	Atime, Mtime, Ctime Time
	Locked              bool // immutable or append-only (chattr +i, +a)
}

// Lstat describes name in dir itself, never what a symbolic link points to.
func Lstat(dir int, name string) (Stat, error) {
	if err := checkName(name); err != nil {
		return Stat{}, err
	}
	return statx(dir, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)
}

// Fstat describes what fd has open.
func Fstat(fd int) (Stat, error) {
	return statx(fd, "", unix.AT_EMPTY_PATH)
}

func statx(dir int, name string, flags int) (Stat, error) {
	var x unix.Statx_t
	err := retry(func() error {
		return unix.Statx(dir, name, flags, unix.STATX_BASIC_STATS, &x)
	})
	if err != nil {
		return Stat{}, err
	}
	return Stat{
		Inode:     Inode{x.Dev_major, x.Dev_minor, x.Ino},
		Type:      typeOf(x.Mode),
		Mode:      uint32(x.Mode) & 0o7777,
		UID:       x.Uid,
		GID:       x.Gid,
		Nlink:     x.Nlink,
		Size:      int64(x.Size),
		Blocks:    int64(x.Blocks),
		RdevMajor: x.Rdev_major,
		RdevMinor: x.Rdev_minor,
		Atime:     Time{x.Atime.Sec, int64(x.Atime.Nsec)},
		Mtime:     Time{x.Mtime.Sec, int64(x.Mtime.Nsec)},
		Ctime:     Time{x.Ctime.Sec, int64(x.Ctime.Nsec)},
		Locked:    x.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0,
	}, nil
}

func typeOf(mode uint16) Type {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return File
	case unix.S_IFDIR:
		return Directory
	case unix.S_IFLNK:
		return Symlink
	case unix.S_IFIFO:
		return FIFO
	case unix.S_IFSOCK:
		return Socket
	case unix.S_IFCHR:
		return CharDevice
	case unix.S_IFBLK:
		return BlockDevice
	}
	return Unknown
}

// Space is what a file system has left for an ordinary writer.
type Space struct {
	Bytes, TotalBytes   int64
	Inodes, TotalInodes int64 // TotalInodes 0: it doesn't count inodes
}

// Free asks the file system of fd for its free space.
func Free(fd int) (Space, error) {
	var s unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(fd, &s) }); err != nil {
		return Space{}, err
	}
	return Space{
		Bytes:       int64(s.Bavail) * s.Bsize,
		TotalBytes:  int64(s.Blocks) * s.Bsize,
		Inodes:      int64(s.Ffree),
		TotalInodes: int64(s.Files),
	}, nil
}
