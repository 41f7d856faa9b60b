package at

import (
	"errors"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// noOpenat2 is set once the kernel says that it has no openat2 (before 5.6, or a seccomp filter).
var noOpenat2 atomic.Bool

// OpenDir opens the directory name in dir for reading. A symbolic link gives ELOOP or ENOTDIR, another mount EXDEV.
func OpenDir(dir int, name string) (int, error) {
	return open(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
}

// OpenFile opens the regular file name in dir for reading, without touching its access time where that is allowed.
// Anything but a regular file gives EINVAL.
func OpenFile(dir int, name string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err := open(dir, name, flags|unix.O_NOATIME)
	if errors.Is(err, unix.EPERM) {
		fd, err = open(dir, name, flags)
	}
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	err = retry(func() error { return unix.Fstat(fd, &st) })
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.EINVAL
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// CreateFile creates the regular file name (mode 0600) in dir for writing; anything in its place gives EEXIST.
func CreateFile(dir int, name string) (int, error) {
	if err := checkName(name); err != nil {
		return -1, err
	}
	return retryFD(func() (int, error) {
		return unix.Openat(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	})
}

// Close closes a descriptor; one that is negative is no error.
func Close(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

// Dup returns a second descriptor for the same open directory.
func Dup(fd int) (int, error) {
	return retryFD(func() (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) })
}

func open(dir int, name string, flags int) (int, error) {
	if err := checkName(name); err != nil {
		return -1, err
	}
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	if !noOpenat2.Load() {
		how := unix.OpenHow{
			Flags: uint64(flags),
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS |
				unix.RESOLVE_NO_XDEV,
		}
		fd, err := retryFD(func() (int, error) { return unix.Openat2(dir, name, &how) })
		if !errors.Is(err, unix.ENOSYS) {
			return fd, err
		}
		noOpenat2.Store(true)
	}
	return openSameDevice(dir, name, flags)
}

// openSameDevice is what older kernels offer: O_NOFOLLOW on one component, and the device number for the mount.
func openSameDevice(dir int, name string, flags int) (int, error) {
	fd, err := retryFD(func() (int, error) { return unix.Openat(dir, name, flags, 0) })
	if err != nil {
		return -1, err
	}
	var above, here unix.Stat_t
	err = errors.Join(unix.Fstat(dir, &above), unix.Fstat(fd, &here))
	if err == nil && above.Dev != here.Dev {
		err = unix.EXDEV
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// checkName refuses what is not one component: everything below relies on it.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return unix.EINVAL
	}
	return nil
}

func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func retryFD(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// Reopen opens the same directory once more, with an offset of its own.
func Reopen(fd int) (int, error) {
	return retryFD(func() (int, error) {
		return unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
}
