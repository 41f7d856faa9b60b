package worker

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/mount"
)

// point is a mount point that was made in the merged root for a --bind whose target ROOT doesn't have; it is taken
// away again before anybody asks what changed.
type point struct {
	path string
	dir  bool
}

// openTarget opens the target of a bind, making it (and the directories above it) if it is missing.
func (w *worker) openTarget(merged *os.File, unsafePath string, dir bool) (*os.File, error) {
	target, err := fd.Open(merged, unsafePath, unix.O_PATH, 0)
	if !errors.Is(err, unix.ENOENT) {
		return target, err
	}
	if err := w.makePoint(merged, path.Clean("/"+unsafePath), dir); err != nil {
		return nil, err
	}
	return fd.Open(merged, unsafePath, unix.O_PATH|unix.O_NOFOLLOW, 0)
}

// makePoint makes one mount point; the directory that it appears in keeps its times.
func (w *worker) makePoint(merged *os.File, name string, dir bool) error {
	parent, base := path.Split(name)
	if base == "" {
		return unix.ENOENT
	}
	in, err := fd.Open(merged, parent, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOENT) {
		if err := w.makePoint(merged, path.Clean(parent), true); err != nil {
			return err
		}
		in, err = fd.Open(merged, parent, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return err
	}
	defer in.Close()
	err = keepTimes(in, func() error {
		if dir {
			return unix.Mkdirat(int(in.Fd()), base, 0o755)
		}
		f, err := unix.Openat(int(in.Fd()), base, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
		if err == nil {
			err = unix.Close(f)
		}
		return err
	})
	if err != nil {
		return &os.PathError{Op: "make mount point", Path: name, Err: err}
	}
	w.points = append(w.points, point{name, dir})
	return nil
}

// keepTimes does something in a directory without a trace in its times.
func keepTimes(dir *os.File, do func() error) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return unix.UtimesNanoAt(unix.AT_FDCWD, mount.FDPath(dir), times, 0)
}

// removePoints takes the mount points out of the upper, unless the script put something there.
func (w *worker) removePoints() {
	for i := len(w.points) - 1; i >= 0; i-- {
		p := w.points[i]
		parent, base := path.Split(p.path)
		in, err := fd.Open(w.layout.upper, parent, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		_ = keepTimes(in, func() error {
			if p.dir {
				return unix.Unlinkat(int(in.Fd()), base, unix.AT_REMOVEDIR)
			}
			var st unix.Stat_t
			if err := unix.Fstatat(int(in.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Size > 0 || st.Mode&unix.S_IFMT != unix.S_IFREG {
				return err
			}
			return unix.Unlinkat(int(in.Fd()), base, 0)
		})
		in.Close()
	}
}
