package at

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// noXattrat is set once the kernel says that it has no listxattrat (before 6.13).
var noXattrat atomic.Bool

// maxXattrs bounds a list of names; the kernel's own limit (XATTR_LIST_MAX) is the same.
const maxXattrs = 64 << 10

// Xattrs lists the extended attributes of name itself in dir, as far as the caller may see them. t is its type: on
// kernels before 6.13 those of links and of what can't be opened harmlessly are read through /proc, or not at all.
func Xattrs(dir int, name string, t Type) ([]string, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if !noXattrat.Load() {
		names, err := listXattrAt(dir, name)
		if err != unix.ENOSYS {
			return names, none(err)
		}
		noXattrat.Store(true)
	}
	switch t {
	case File, Directory:
		fd, err := open(dir, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		return Fxattrs(fd)
	case Symlink:
		return nil, nil // user attributes, capabilities and ACLs don't exist on links
	}
	fd, err := open(dir, name, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return listXattrs(func(buf []byte) (int, error) { return unix.Listxattr(procPath(fd), buf) })
}

// Fxattrs lists the extended attributes of what fd has open for reading or writing.
func Fxattrs(fd int) ([]string, error) {
	return listXattrs(func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) })
}

// Fgetxattr reads one extended attribute of what fd has open.
func Fgetxattr(fd int, attr string) ([]byte, error) {
	return value(func(buf []byte) (int, error) { return unix.Fgetxattr(fd, attr, buf) })
}

// Fsetxattr sets one extended attribute of what fd has open.
func Fsetxattr(fd int, attr string, val []byte) error {
	return retry(func() error { return unix.Fsetxattr(fd, attr, val, 0) })
}

// Fremovexattr removes one extended attribute of what fd has open; a missing one is no error.
func Fremovexattr(fd int, attr string) error {
	return none(retry(func() error { return unix.Fremovexattr(fd, attr) }))
}

// CopyXattrAt copies one attribute between two names that can't be opened harmlessly (FIFOs), through /proc.
func CopyXattrAt(fromDir int, from string, toDir int, to, attr string) error {
	in, err := open(fromDir, from, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	out, err := open(toDir, to, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	val, err := value(func(buf []byte) (int, error) { return unix.Getxattr(procPath(in), attr, buf) })
	if err != nil {
		return err
	}
	return retry(func() error { return unix.Setxattr(procPath(out), attr, val, 0) })
}

func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func listXattrAt(dir int, name string) ([]string, error) {
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		return nil, err
	}
	return listXattrs(func(buf []byte) (int, error) {
		n, _, errno := unix.Syscall6(unix.SYS_LISTXATTRAT, uintptr(dir), uintptr(unsafe.Pointer(path)),
			unix.AT_SYMLINK_NOFOLLOW, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0)
		if errno != 0 {
			return 0, errno
		}
		return int(n), nil
	})
}

func listXattrs(call func([]byte) (int, error)) ([]string, error) {
	var small [512]byte
	buf := small[:]
	for {
		n, err := retryFD(func() (int, error) { return call(buf) })
		if err == unix.ERANGE && len(buf) < maxXattrs {
			buf = make([]byte, maxXattrs)
			continue
		}
		if err != nil {
			return nil, none(err)
		}
		return splitNames(buf[:n]), nil
	}
}

func splitNames(buf []byte) []string {
	var names []string
	for name := range bytes.SplitSeq(buf, []byte{0}) {
		if len(name) > 0 {
			names = append(names, string(name))
		}
	}
	return names
}

func value(call func([]byte) (int, error)) ([]byte, error) {
	buf := make([]byte, 256)
	for {
		n, err := retryFD(func() (int, error) { return call(buf) })
		if err == unix.ERANGE && len(buf) < maxXattrs {
			buf = make([]byte, maxXattrs)
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}

// none turns "there are no such attributes here" into success.
func none(err error) error {
	if err == unix.ENODATA || err == unix.EOPNOTSUPP {
		return nil
	}
	return err
}
