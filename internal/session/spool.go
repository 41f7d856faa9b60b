package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/memory"
	"github.com/crossroot/crossroot/internal/transaction/spool"
)

// chooseSpool decides where the changes lie until the commit: in memory with a size limit when that clearly suffices,
// else in a directory beside ROOT, on its own file system, so that a commit renames; where that can't be, in the
// cache. The directory's name is ROOT's: under ROOT's lock what is there is left over from a run that was killed.
func (r *run) chooseSpool() error {
	s := &r.setup
	s.Spool, s.SpoolSize, s.RootEntry, s.SpoolEntry = nil, 0, "", ""
	if r.spool != "" {
		_ = os.Remove(r.spool)
		r.spool = ""
	}
	choice, err := r.chooseMemory()
	if err != nil {
		return fail(KindSpool, r.root.Name, err)
	}
	if choice.Where == spool.Memory {
		s.SpoolSize, s.SpoolInodes = choice.Size, choice.Inodes
		return nil
	}
	parent, base := filepath.Split(r.root.Path)
	name := fmt.Sprintf(".crossroot-spool-%d", r.root.Ino)
	var st unix.Stat_t
	if err := unix.Stat(parent, &st); err == nil && st.Dev == r.root.Dev {
		err := makeSpool(filepath.Join(parent, name))
		if err == nil {
			r.spool = filepath.Join(parent, name)
			s.RootEntry, s.SpoolEntry = base, name
			return nil
		}
		if !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.EPERM) {
			return fail(KindSpool, r.root.Name, err)
		}
	}
	r.spool = filepath.Join(r.o.Dirs.Cache, fmt.Sprintf("spool-%d-%d", r.root.Dev, r.root.Ino))
	if err := makeSpool(r.spool); err != nil {
		return fail(KindSpool, r.root.Name, err)
	}
	return nil
}

// makeSpool makes the directory, or takes one that an earlier run of this user left.
func makeSpool(name string) error {
	err := os.Mkdir(name, 0o700)
	if !errors.Is(err, os.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return fmt.Errorf("%s is in the way, and not of crossroot's making", name)
	}
	return nil
}

// chooseMemory decides between memory and disk by what there is of both.
func (r *run) chooseMemory() (spool.Choice, error) {
	f := spool.Facts{MemAvailable: memory.Available()}
	f.MemoryLimit, f.MemoryUsed = memory.Group()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(r.root.Dir.Fd()), &fs); err == nil {
		f.DiskFree = int64(fs.Bavail) * fs.Bsize
		if fs.Flags&unix.ST_RDONLY != 0 {
			f.DiskFails = r.root.Name + " is on a read-only file system"
		}
	}
	want := spool.Where(r.o.Spool)
	if want == "" {
		want = spool.Auto
	}
	return spool.Choose(want, f)
}
