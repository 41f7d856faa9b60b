package session

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/dispatcher/image"
)

// Dirs are crossroot's own directories: mode 0700, owned by the user, or refused.
type Dirs struct {
	Cache string // what can be made again: tool roots, the dispatcher's image
	State string // locks and notes of running runs
}

// UserDirs are the directories of the calling user (XDG base directories; /var/cache and /run for root without HOME).
func UserDirs() (Dirs, error) {
	var d Dirs
	if v := os.Getenv("CROSSROOT_CACHE"); v != "" {
		d.Cache = v
	} else if c, err := os.UserCacheDir(); err == nil {
		d.Cache = filepath.Join(c, "crossroot")
	} else {
		d.Cache = "/var/cache/crossroot"
	}
	if !filepath.IsAbs(d.Cache) {
		return d, fail(KindState, d.Cache, fmt.Errorf("the cache directory %q is not absolute", d.Cache))
	}
	d.State = filepath.Join(d.Cache, "state")
	for _, dir := range []string{d.Cache, d.State} {
		if err := own(dir); err != nil {
			return d, err
		}
	}
	return d, nil
}

// own makes dir if needed and checks that nobody else can put anything there.
func own(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(KindState, dir, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fail(KindState, dir, &os.PathError{Op: "stat", Path: dir, Err: err})
	}
	if int(st.Uid) != os.Geteuid() {
		return fail(KindState, dir, fmt.Errorf("%s belongs to user %d, not to you (%d)", dir, st.Uid, os.Geteuid()))
	}
	if st.Mode&0o022 != 0 {
		return fail(KindState, dir, fmt.Errorf("others can write to %s", dir))
	}
	return nil
}

// ImageFile returns the dispatcher's image of this executable, made once and kept in the cache.
func (d Dirs) ImageFile() (string, error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer self.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(self.Fd()), &st); err != nil {
		return "", &os.PathError{Op: "stat", Path: "/proc/self/exe", Err: err}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %d %d %d %d", st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano(), os.Geteuid()))
	dir := filepath.Join(d.Cache, "image")
	if err := own(dir); err != nil {
		return "", err
	}
	name := filepath.Join(dir, hex.EncodeToString(sum[:12]))
	if info, err := os.Stat(name); err == nil && info.Size() == st.Size {
		return name, nil
	}
	tmp, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp.Name())
	err = errors.Join(image.Write(tmp, self), tmp.Chmod(0o755), tmp.Sync(), tmp.Close())
	if err != nil {
		return "", err
	}
	// Not a rename: another run may have made it meanwhile, and may be about to attach that very file.
	if err = os.Link(tmp.Name(), name); errors.Is(err, os.ErrExist) {
		if info, serr := os.Stat(name); serr == nil && info.Size() == st.Size {
			return name, nil
		}
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return "", err
	}
	forgetImages(dir, name)
	return name, nil
}

// forgetImages removes images of executables that were replaced: all but the newest few.
func forgetImages(dir, keep string) {
	const kept = 8
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) <= kept {
		return
	}
	age := func(e os.DirEntry) time.Time {
		info, err := e.Info()
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return age(a).Compare(age(b)) })
	for _, e := range entries[:len(entries)-kept] {
		if name := filepath.Join(dir, e.Name()); name != keep {
			_ = os.Remove(name)
		}
	}
}
