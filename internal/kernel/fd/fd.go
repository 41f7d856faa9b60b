// Package fd opens what lies inside a root: every path is resolved by the kernel with the root as its end
// (openat2, RESOLVE_IN_ROOT), magic links are refused, FIFOs and devices never block and never open. Errors are
// *os.PathError with the operation and the full path; it knows nothing of mounts and namespaces.
package fd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Open opens unsafePath inside root as chroot would resolve it; flags are open(2)'s, CLOEXEC and NOCTTY are added.
func Open(root *os.File, unsafePath string, flags int, mode os.FileMode) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOCTTY),
		Mode:    uint64(mode.Perm()),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	if flags&unix.O_PATH != 0 {
		how.Flags &^= unix.O_NOCTTY
	}
	if flags&(unix.O_CREAT|unix.O_TMPFILE) == 0 {
		how.Mode = 0
	}
	for try := 0; ; try++ {
		fd, err := unix.Openat2(int(root.Fd()), unsafePath, &how)
		if errors.Is(err, unix.EINTR) || (errors.Is(err, unix.EAGAIN) && try < 64) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: root.Name() + path.Join("/", unsafePath), Err: err}
		}
		return os.NewFile(uintptr(fd), path.Join("/", unsafePath)), nil
	}
}

// ErrNotRegular: a FIFO, device, socket or directory stands where a regular file is read.
var ErrNotRegular = errors.New("not a regular file")

// OpenRegular opens a regular file for reading; a FIFO doesn't block it, a device isn't touched.
func OpenRegular(root *os.File, unsafePath string) (*os.File, error) {
	probe, err := Open(root, unsafePath, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer probe.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(probe.Fd()), &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: probe.Name(), Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &os.PathError{Op: "open", Path: probe.Name(), Err: ErrNotRegular}
	}
	f, err := Open(root, unsafePath, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	var again unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &again); err != nil || again.Mode&unix.S_IFMT != unix.S_IFREG {
		f.Close()
		return nil, &os.PathError{Op: "open", Path: probe.Name(), Err: ErrNotRegular}
	}
	return f, nil
}

// ReadFile reads a regular file of at most limit bytes.
func ReadFile(root *os.File, unsafePath string, limit int64) ([]byte, error) {
	f, err := OpenRegular(root, unsafePath)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var size int64
	if info, err := f.Stat(); err == nil {
		size = min(info.Size(), limit)
	}
	data := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead)) // at once, when the size is true
	if _, err := data.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, err
	}
	if int64(data.Len()) > limit {
		return nil, &os.PathError{Op: "read", Path: f.Name(), Err: fmt.Errorf("larger than %d bytes", limit)}
	}
	return data.Bytes(), nil
}

// Lstat describes what is at unsafePath itself (its last component is not followed).
func Lstat(root *os.File, unsafePath string) (unix.Stat_t, error) {
	var st unix.Stat_t
	f, err := Open(root, unsafePath, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return st, err
	}
	defer f.Close()
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return st, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return st, nil
}

// Readdirnames lists a directory inside root.
func Readdirnames(root *os.File, unsafePath string) ([]string, error) {
	dir, err := Open(root, unsafePath, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}

// TypeName says in words what a mode's file type (st_mode) is: "a symlink".
func TypeName(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return "a symlink"
	case unix.S_IFREG:
		return "a file"
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFDIR:
		return "a directory"
	}
	return "a device"
}
