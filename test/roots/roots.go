// Package roots makes foreign Debian roots for tests and benchmarks, and runs commands in them the way crossroot is
// measured against: a chroot with qemu-user. Each root is made once and kept as a tar in a cache, so that a fresh copy
// costs a second. It promises that the host stays untouched (no handler in its binfmt_misc, no mount in its table) and
// that real root and an ordinary user with subordinate ids get the same trees. It must know nothing of crossroot.
package roots

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/crossroot/crossroot/internal/tree"
)

// Arch is a Debian architecture whose roots can be made here.
type Arch struct {
	Name string
	// Qemu is the static emulator's command; empty for the CPU that needs none.
	Qemu string
	// magic and mask are binfmt_misc's, in its notation (Documentation/admin-guide/binfmt-misc.rst). They are
	// written out here, not taken from crossroot's own table: the reference must not share its mistakes.
	magic, mask string
	// Env is set on both sides of every comparison.
	Env []string
}

// Arches are the architectures with a root. QEMU_CPU is a model without pointer authentication, whose emulation
// costs five times the rest.
var Arches = []Arch{
	{
		Name: "armhf", Qemu: "qemu-arm-static",
		magic: `\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00`,
		mask:  `\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`,
	},
	{
		Name: "arm64", Qemu: "qemu-aarch64-static", Env: []string{"QEMU_CPU=cortex-a57"},
		magic: `\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00`,
		mask:  `\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`,
	},
	{Name: "amd64"},
}

// Lookup finds an architecture by Debian's name.
func Lookup(name string) (Arch, error) {
	for _, a := range Arches {
		if a.Name == name {
			return a, nil
		}
	}
	return Arch{}, fmt.Errorf("no test root for architecture %q", name)
}

// Stage is a cached root.
type Stage struct {
	Arch     Arch
	Tar      string // pax, xattrs, numeric owners, names ./…
	Manifest *tree.Manifest
	Key      string // changes with the content
}

// Cache holds the roots, each as NAME.tar and NAME.mtree.
type Cache struct{ dir string }

// Open opens $CROSSROOT_TEST_CACHE, or crossroot-test in the user's cache directory.
func Open() (Cache, error) {
	dir := os.Getenv("CROSSROOT_TEST_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return Cache{}, fmt.Errorf("find test cache: %w", err)
		}
		dir = filepath.Join(user, "crossroot-test")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Cache{}, fmt.Errorf("make test cache: %w", err)
	}
	return Cache{dir}, nil
}

// get returns the stage called name; where it is missing, make fills an empty directory with the root first. Two
// processes never make the same one.
func (c Cache) get(ctx context.Context, a Arch, name string, make func(root string) error) (Stage, error) {
	if s, err := c.load(a, name); err == nil || !errors.Is(err, os.ErrNotExist) {
		return s, err
	}
	unlock, err := c.lock(name)
	if err != nil {
		return Stage{}, err
	}
	defer unlock()
	if s, err := c.load(a, name); err == nil || !errors.Is(err, os.ErrNotExist) {
		return s, err
	}
	work, err := c.work()
	if err != nil {
		return Stage{}, err
	}
	defer Remove(work)
	root := filepath.Join(work, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return Stage{}, err
	}
	if err := make(root); err != nil {
		return Stage{}, fmt.Errorf("make root %s: %w", name, err)
	}
	if err := c.store(ctx, root, work, name); err != nil {
		return Stage{}, fmt.Errorf("store root %s: %w", name, err)
	}
	return c.load(a, name)
}

// work makes a directory for a root under construction. Others may pass: inside, a user's root belongs to ids that
// are not the user's.
func (c Cache) work() (string, error) {
	work, err := os.MkdirTemp(c.dir, "work-")
	if err == nil {
		err = os.Chmod(work, 0o755)
	}
	return work, err
}

func (c Cache) load(a Arch, name string) (Stage, error) {
	s := Stage{Arch: a, Tar: filepath.Join(c.dir, name+".tar"), Key: name}
	if _, err := os.Stat(s.Tar); err != nil {
		return s, err
	}
	f, err := os.Open(filepath.Join(c.dir, name+".mtree"))
	if err != nil {
		return s, err
	}
	defer f.Close()
	s.Manifest, err = tree.Parse(f)
	return s, err
}

// store packs a root; the manifest comes last, so that a stage is whole when it has one.
func (c Cache) store(ctx context.Context, root, work, name string) error {
	tar := filepath.Join(work, "tar")
	if err := pack(ctx, root, tar); err != nil {
		return err
	}
	m, err := Scan(ctx, root)
	if err != nil {
		return err
	}
	mtree, err := os.Create(filepath.Join(work, "mtree"))
	if err != nil {
		return err
	}
	defer mtree.Close()
	if err := m.Write(mtree); err != nil {
		return err
	}
	if err := os.Rename(tar, filepath.Join(c.dir, name+".tar")); err != nil {
		return err
	}
	return os.Rename(mtree.Name(), filepath.Join(c.dir, name+".mtree"))
}

func (c Cache) lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}
