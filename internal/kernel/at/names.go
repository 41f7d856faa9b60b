package at

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Names lists the directory that fd has open, sorted by bytes, without "." and "..".
func Names(fd int) ([]string, error) {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return nil, err
	}
	var names []string
	buf := make([]byte, 32<<10)
	for {
		n, err := retryFD(func() (int, error) { return unix.Getdents(fd, buf) })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			slices.Sort(names)
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// Empty says whether the directory that fd has open has no entries.
func Empty(fd int) (bool, error) {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return false, err
	}
	buf := make([]byte, 4<<10)
	n, err := retryFD(func() (int, error) { return unix.Getdents(fd, buf) })
	if err != nil || n == 0 {
		return n == 0, err
	}
	_, count, _ := unix.ParseDirent(buf[:n], 1, nil)
	return count == 0, nil
}

// Readlink returns the target of the symbolic link name in dir.
func Readlink(dir int, name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	buf := make([]byte, unix.PathMax)
	n, err := retryFD(func() (int, error) { return unix.Readlinkat(dir, name, buf) })
	if err != nil {
		return "", err
	}
	if n == len(buf) { // can't be: the kernel limits targets to PATH_MAX-1
		return "", unix.ENAMETOOLONG
	}
	return string(buf[:n]), nil
}
