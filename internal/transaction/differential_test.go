package transaction

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	sequences = flag.Int("sequences", 200, "random sequences of the differential test")
	firstSeed = flag.Uint64("seed", 1, "seed of its first one")
)

// TestDifferential is C47: random sequences of operations, once on a plain copy, once through overlay and commit. The
// root must equal the plain copy, and, to the nanosecond, what the overlay showed.
//
// Known differences, left out here: renaming a directory of the lower gives EXDEV, once in thousands of times a rename
// gives ESTALE (then the copy doesn't get the operation either); files of the root with several names (TestHardLinks); times of directories, because the two are
// not made at the same moment.
func TestDifferential(t *testing.T) {
	for n := range *sequences {
		seed := *firstSeed + uint64(n)
		spool := []string{"tmpfs", "tmpfs", "disk"}[n%3]
		t.Run(fmt.Sprintf("%d-%s", seed, spool), func(t *testing.T) {
			l := newLab(t, "disk", spool)
			plain := filepath.Join(filepath.Dir(l.root), "plain")
			must(t, os.Mkdir(plain, 0o755))
			g := &gen{rand.New(rand.NewPCG(seed, 0))}
			for range 25 {
				op := g.op()
				apply(op, l.root)
				apply(op, plain)
			}
			unlink(t, l.root)
			unlink(t, plain)
			var log []string
			l.run(func(m string) {
				for range 10 + g.IntN(60) {
					op := g.op()
					seen := apply(op, m)
					if errors.Is(seen, syscall.EXDEV) || errors.Is(seen, syscall.ESTALE) {
						continue
					}
					want := apply(op, plain)
					log = append(log, fmt.Sprintf("%v: %v", op, seen))
					if fmt.Sprint(errno(seen)) != fmt.Sprint(errno(want)) {
						t.Errorf("%v: overlay says %v, the plain directory %v", op, seen, want)
					}
				}
			})
			p := l.commit()
			l.same()
			if d := cmp.Diff(timeless(manifest(t, plain)), timeless(manifest(t, l.root))); d != "" {
				t.Errorf("root differs from the plain copy (-plain +root):\n%s", d)
			}
			if w := p.Warnings(); len(w) > 0 {
				t.Errorf("warnings: %q", w)
			}
			if t.Failed() {
				t.Logf("operations:\n%s\nplan:\n%s", strings.Join(log, "\n"), describe(p))
			}
		})
	}
}

func describe(p *Plan) string {
	var out []string
	for line := range p.Describe {
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// unlink gives every file of a root one name only.
func unlink(t *testing.T, dir string) {
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil || st.Nlink == 1 {
			return err
		}
		return os.Remove(path)
	}))
}

var dirTime = regexp.MustCompile(`^(4\d{4} \d+:\d+) \S+`)

// timeless takes the times of directories out of a manifest.
func timeless(m map[string]string) map[string]string {
	for path, line := range m {
		m[path] = dirTime.ReplaceAllString(line, "$1")
	}
	return m
}

func errno(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}

// op is one operation: the same on both sides, times included.
type op struct {
	kind string
	a, b string
	n    int64
}

type gen struct{ *rand.Rand }

var kinds = []string{"write", "write", "append", "truncate", "mkdir", "mkdir", "mkdir", "symlink", "link", "link", "fifo",
	"unlink", "unlink", "rmdir", "rename", "rename", "rename", "exchange", "removeall", "removeall", "remake", "chmod", "chown",
	"setxattr", "setxattr", "rmxattr", "utimes", "acl"}

func (g *gen) op() op {
	return op{kinds[g.IntN(len(kinds))], g.path(), g.path(), g.Int64N(1 << 40)}
}

func (g *gen) path() string {
	names := []string{"a", "b", "c", "\xff\n"}
	parts := []string{names[g.IntN(4)]}
	for g.IntN(3) > 0 && len(parts) < 4 {
		parts = append(parts, names[g.IntN(4)])
	}
	return strings.Join(parts, "/")
}

func apply(o op, root string) error {
	a, b := filepath.Join(root, o.a), filepath.Join(root, o.b)
	err := o.do(a, b)
	if err == nil && (o.kind == "write" || o.kind == "append" || o.kind == "truncate" || o.kind == "symlink" || o.kind == "fifo" || o.kind == "utimes") {
		return touch(a, o.n)
	}
	return err
}

func (o op) do(a, b string) error {
	switch o.kind {
	case "write":
		return put(a, syscall.O_CREAT|syscall.O_TRUNC, o.n)
	case "append":
		return put(a, syscall.O_APPEND, o.n)
	case "truncate":
		return onlyRegular(a, func() error { return syscall.Truncate(a, o.n%100000) })
	case "mkdir":
		return syscall.Mkdir(a, uint32(o.n)&0o3777|0o700)
	case "symlink":
		return syscall.Symlink(o.b, a)
	case "link":
		return syscall.Link(a, b)
	case "fifo":
		return syscall.Mkfifo(a, 0o640)
	case "unlink":
		return syscall.Unlink(a)
	case "rmdir":
		return syscall.Rmdir(a)
	case "rename":
		return syscall.Rename(a, b)
	case "exchange":
		return swap(a, b)
	case "removeall":
		return removeTree(a)
	case "remake":
		if err := removeTree(a); err != nil {
			return err
		}
		return syscall.Mkdir(a, 0o755)
	case "chmod":
		return noLink(a, func() error { return syscall.Chmod(a, uint32(o.n)&0o7777|0o700) })
	case "chown":
		if !manyIDs() {
			return nil
		}
		return syscall.Lchown(a, int(o.n%1000), int(o.n/1000%1000))
	case "setxattr":
		return onlyRegular(a, func() error { return syscall.Setxattr(a, fmt.Sprint("user.", o.n%3), []byte(o.b), 0) })
	case "rmxattr":
		return onlyRegular(a, func() error { return syscall.Removexattr(a, fmt.Sprint("user.", o.n%3)) })
	case "acl":
		return noLink(a, func() error {
			return syscall.Setxattr(a, []string{"system.posix_acl_access", "system.posix_acl_default"}[o.n%2], []byte(acl), 0)
		})
	}
	return nil // utimes
}

// removeTree is os.RemoveAll, which would wait for a FIFO in the place of a parent.
func removeTree(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

func put(path string, flags int, n int64) error {
	return onlyRegular(path, func() error {
		f, err := os.OpenFile(path, flags|syscall.O_WRONLY, os.FileMode(n)&0o777)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = fmt.Fprintf(f, "%*d", n%9000, n)
		return err
	})
}

// onlyRegular leaves links, FIFOs and directories alone.
func onlyRegular(path string, do func() error) error {
	if fi, err := os.Lstat(path); err == nil && !fi.Mode().IsRegular() {
		return syscall.EINVAL
	}
	return do()
}

func noLink(path string, do func() error) error {
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		return syscall.EINVAL
	}
	return do()
}

func touch(path string, n int64) error { return utimensat(path, n*1000, n*1000) }
