package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/fd"
)

// Root is an opened target root.
type Root struct {
	Name string   // as the user called it
	Path string   // absolute, without symlinks
	Dir  *os.File // the directory
	Dev  uint64
	Ino  uint64
	Arch arch.Arch
	From string // the executable that told the architecture
}

// OpenRoot opens a target root and finds out its architecture. The errors say what to give instead.
func OpenRoot(name string) (*Root, error) {
	if name == "" {
		return nil, fail(KindRoot, name, errors.New("the name of the root is empty"))
	}
	full, err := filepath.Abs(name)
	if err != nil {
		return nil, fail(KindRoot, name, err)
	}
	full, err = filepath.EvalSymlinks(full)
	if err != nil {
		var cause unix.Errno
		if !errors.As(err, &cause) {
			cause = unix.ELOOP // what filepath says in words, without a name
		}
		return nil, fail(KindRoot, name, &os.PathError{Op: "open root", Path: name, Err: cause})
	}
	dir, err := os.OpenFile(full, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, unix.ENOTDIR) {
			return nil, fail(KindRoot, name, fmt.Errorf("%s is not a directory", name))
		}
		return nil, fail(KindRoot, name, &os.PathError{Op: "open root", Path: name, Err: errors.Unwrap(err)})
	}
	var st, host unix.Stat_t
	if err := errors.Join(unix.Fstat(int(dir.Fd()), &st), unix.Stat("/", &host)); err != nil {
		dir.Close()
		return nil, fail(KindRoot, name, err)
	}
	if st.Dev == host.Dev && st.Ino == host.Ino {
		dir.Close()
		return nil, fail(KindRoot, name, fmt.Errorf("%s is this machine's own root", name))
	}
	r := &Root{Name: name, Path: full, Dir: dir, Dev: st.Dev, Ino: st.Ino}
	if err := r.identify(); err != nil {
		dir.Close()
		return nil, err
	}
	return r, nil
}

// Close closes the directory.
func (r *Root) Close() error { return r.Dir.Close() }

// telling are executables that nearly every root has, in the order of trust.
var telling = []string{"bin/sh", "usr/bin/sh", "bin/busybox", "usr/bin/busybox", "usr/bin/env", "usr/bin/dpkg", "sbin/init", "usr/sbin/init", "sbin/ldconfig"}

// identify reads the architecture from the root's own executables.
func (r *Root) identify() error {
	names, err := r.Dir.Readdirnames(-1)
	if err != nil {
		return fail(KindRoot, r.Name, err)
	}
	if len(names) == 0 {
		return fail(KindNotRoot, r.Name, fmt.Errorf("%s is empty", r.Name))
	}
	candidates := telling
	for _, dir := range []string{"bin", "usr/bin", "sbin", "usr/sbin"} {
		list, err := fd.Readdirnames(r.Dir, dir)
		if err != nil {
			continue
		}
		sort.Strings(list)
		for i, n := range list {
			if i == 200 {
				break
			}
			candidates = append(candidates[:len(candidates):len(candidates)], dir+"/"+n)
		}
	}
	var unknown, refused error
	for _, c := range candidates {
		a, err := Identify(r.Dir, c)
		if err == nil {
			r.Arch, r.From = a, "/"+c
			return nil
		}
		if errors.Is(err, ErrUnknownArch) && unknown == nil {
			unknown = err
		}
		if refused == nil && (errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) {
			refused = err
		}
	}
	if unknown != nil {
		return fail(KindArch, r.Name, unknown)
	}
	switch {
	case errors.Is(refused, unix.ENOSYS):
		return fail(KindKernel, r.Name, refused)
	case refused != nil:
		return fail(KindRoot, r.Name, refused)
	}
	return fail(KindNotRoot, r.Name, fmt.Errorf("no executable in /bin, /usr/bin, /sbin or /usr/sbin of %s tells its CPU", r.Name))
}

// ErrUnknownArch: an ELF file for a CPU that isn't in the table.
var ErrUnknownArch = errors.New("CPU architecture not known")

// Identify returns the architecture of one executable inside root; elfimage.ErrNotELF when it is none.
func Identify(root *os.File, unsafePath string) (arch.Arch, error) {
	f, err := fd.OpenRegular(root, unsafePath)
	if err != nil {
		return arch.Arch{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return arch.Arch{}, err
	}
	header, err := elfimage.ReadHeader(f)
	if err != nil {
		return arch.Arch{}, err
	}
	interpreter := ""
	if image, err := elfimage.Open(f, info.Size()); err == nil {
		interpreter = image.Interp()
	}
	a, ok := arch.IdentifyProgram(header, interpreter)
	if !ok {
		return arch.Arch{}, fmt.Errorf("%s is an ELF file for machine %d: %w", f.Name(), header.Machine, ErrUnknownArch)
	}
	return a, nil
}
