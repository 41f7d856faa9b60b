package at

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mkdir makes a directory with mode 0700.
func Mkdir(dir int, name string) error {
	return named(name, func() error { return unix.Mkdirat(dir, name, 0o700) })
}

// MakeSymlink makes a symbolic link to target.
func MakeSymlink(target string, dir int, name string) error {
	return named(name, func() error { return unix.Symlinkat(target, dir, name) })
}

// MakeFIFO makes a FIFO with mode 0600.
func MakeFIFO(dir int, name string) error {
	return named(name, func() error { return unix.Mknodat(dir, name, unix.S_IFIFO|0o600, 0) })
}

// Link makes newName another name of oldName itself (a symbolic link is not followed).
func Link(oldDir int, oldName string, newDir int, newName string) error {
	return named2(oldName, newName, func() error { return unix.Linkat(oldDir, oldName, newDir, newName, 0) })
}

// Rename moves oldName to newName, which must not exist (EEXIST).
func Rename(oldDir int, oldName string, newDir int, newName string) error {
	return named2(oldName, newName, func() error {
		err := unix.Renameat2(oldDir, oldName, newDir, newName, unix.RENAME_NOREPLACE)
		if err != unix.EINVAL && err != unix.ENOSYS {
			return err
		}
		// The file system (some network and FUSE ones) has no such flag.
		if _, err := Lstat(newDir, newName); err == nil {
			return unix.EEXIST
		} else if err != unix.ENOENT {
			return err
		}
		return unix.Renameat(oldDir, oldName, newDir, newName)
	})
}

// Exchange swaps two names in one step. EINVAL: the file system can't.
func Exchange(oldDir int, oldName string, newDir int, newName string) error {
	return named2(oldName, newName, func() error {
		return unix.Renameat2(oldDir, oldName, newDir, newName, unix.RENAME_EXCHANGE)
	})
}

// Unlink removes a name that is not a directory.
func Unlink(dir int, name string) error {
	return named(name, func() error { return unix.Unlinkat(dir, name, 0) })
}

// Rmdir removes an empty directory.
func Rmdir(dir int, name string) error {
	return named(name, func() error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
}

// Chown sets the owner of name itself.
func Chown(dir int, name string, uid, gid uint32) error {
	return named(name, func() error {
		return unix.Fchownat(dir, name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW)
	})
}

// Fchown sets the owner of what fd has open. Set-id bits and capabilities go: set them afterwards.
func Fchown(fd int, uid, gid uint32) error {
	return retry(func() error { return unix.Fchown(fd, int(uid), int(gid)) })
}

// Fchmod sets the permission, set-id and sticky bits of what fd has open.
func Fchmod(fd int, mode uint32) error {
	return retry(func() error { return unix.Fchmod(fd, mode) })
}

// ChmodMade sets the mode of a FIFO or device node that the caller has just made in a directory of its own: where
// the kernel has no fchmodat2 (before 6.6) the call would follow a link.
func ChmodMade(dir int, name string, mode uint32) error {
	return named(name, func() error {
		err := unix.Fchmodat(dir, name, mode, unix.AT_SYMLINK_NOFOLLOW)
		if err == unix.ENOSYS || err == unix.EOPNOTSUPP {
			err = unix.Fchmodat(dir, name, mode, 0)
		}
		return err
	})
}

// SetTimes sets access and modification time of name itself.
func SetTimes(dir int, name string, atime, mtime Time) error {
	ts := timespecs(atime, mtime)
	return named(name, func() error { return unix.UtimesNanoAt(dir, name, ts[:], unix.AT_SYMLINK_NOFOLLOW) })
}

// FsetTimes sets access and modification time of what fd has open.
func FsetTimes(fd int, atime, mtime Time) error {
	ts := timespecs(atime, mtime)
	return retry(func() error {
		_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
}

func timespecs(atime, mtime Time) [2]unix.Timespec {
	return [2]unix.Timespec{
		{Sec: atime.Sec, Nsec: atime.Nsec},
		{Sec: mtime.Sec, Nsec: mtime.Nsec},
	}
}

// Sync writes everything of fd's file system to its device; an error is final and must not be tried again.
func Sync(fd int) error {
	return unix.Syncfs(fd)
}

func named(name string, call func() error) error {
	if err := checkName(name); err != nil {
		return err
	}
	return retry(call)
}

func named2(a, b string, call func() error) error {
	if err := checkName(a); err != nil {
		return err
	}
	return named(b, call)
}
