package toolroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crossroot/crossroot/internal/arch"
)

func options(t *testing.T, target string) Options {
	t.Helper()
	a, ok := arch.Lookup(target)
	if !ok {
		t.Fatal(target)
	}
	return Options{Cache: filepath.Join(t.TempDir(), "cache"), Target: a}
}

func mustOpen(t *testing.T, root string, o Options) *Root {
	t.Helper()
	r, err := Open(t.Context(), Source{Root: root}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestOpenTwice(t *testing.T) {
	onAMD64(t)
	root, o := debian().make(t), options(t, "armhf")
	steps := 0
	o.Progress = func(done, total int, what string) {
		if steps++; done > total || what == "" {
			t.Errorf("progress %d of %d: %q", done, total, what)
		}
	}
	first := mustOpen(t, root, o)
	if steps == 0 {
		t.Error("no progress was shown")
	}
	steps = 0
	second := mustOpen(t, root, o)
	if steps != 0 || second.Key != first.Key || second.Base != first.Base {
		t.Errorf("built again: %d steps, key %s and %s", steps, first.Key, second.Key)
	}
	o.Rebuild = true
	if third := mustOpen(t, root, o); steps == 0 || third.Base == first.Base {
		t.Error("not rebuilt, or over one that is in use")
	}
}

// TestOtherTarget: a second target shares the base.
func TestOtherTarget(t *testing.T) {
	onAMD64(t)
	root, o := debian().make(t), options(t, "armhf")
	first := mustOpen(t, root, o)
	for _, tt := range []struct {
		target, text, reason string
	}{
		{"armhf", "\x00armhf\x00", ""},
		{"arm64", "\x00arm64\x00", ""},
		{"s390x", "\x00s390x\x00", ""},
		{"i386", "\x00i386\x00\x00", ""},
		{"amd64", "\x00amd64\x00", ""},
		{"riscv64", "", `identity does not fit: "riscv64": nothing refers to the old text: the text does not fit`},
		{"arm64be", "", "identity does not fit: Debian has no name for arm64be"},
	} {
		t.Run(tt.target, func(t *testing.T) {
			a, ok := arch.Lookup(tt.target)
			if !ok {
				t.Skip("no such architecture in the table: " + tt.target)
			}
			o.Target = a
			r := mustOpen(t, root, o)
			if r.Base != first.Base {
				t.Error("has another base")
			}
			tool, ok := r.Lookup("/usr/bin/dpkg")
			if ok != (tt.reason == "") || r.Missing("/usr/bin/dpkg") != tt.reason {
				t.Errorf("dpkg: %+v, %v, %q", tool, ok, r.Missing("/usr/bin/dpkg"))
			}
			b, err := os.ReadFile(filepath.Join(r.Variant, "bin/dpkg"))
			if (err == nil) != (tt.reason == "") || !strings.Contains(string(b), tt.text) {
				t.Errorf("dpkg lacks %q, %v", tt.text, err)
			}
			if _, err := os.Stat(filepath.Join(r.Base, "bin/dpkg")); err == nil {
				t.Error("dpkg is in the base")
			}
		})
	}
}

func TestSourceChanges(t *testing.T) {
	onAMD64(t)
	files := debian()
	root, o := files.make(t), options(t, "armhf")
	before := mustOpen(t, root, o)
	changes := map[string]func() error{
		"program replaced": func() error {
			return os.WriteFile(filepath.Join(root, "usr/bin/mawk"), []byte(program(glibc64)+"x"), 0o755)
		},
		"touched": func() error {
			return os.Chtimes(filepath.Join(root, "usr/bin/dash"), time.Now(), time.Now().Add(time.Second))
		},
		"program added":   func() error { files.put(t, root, "usr/bin/cat", program(glibc64)); return nil },
		"program removed": func() error { return os.Remove(filepath.Join(root, "usr/bin/dash")) },
		"link changed": func() error {
			if err := os.Remove(filepath.Join(root, "etc/alternatives/awk")); err != nil {
				return err
			}
			return os.Symlink("/usr/bin/dpkg", filepath.Join(root, "etc/alternatives/awk"))
		},
		"mode changed": func() error { return syscall.Chmod(filepath.Join(root, "usr/bin/mawk"), 0o4755) },
	}
	for _, name := range []string{"program replaced", "touched", "mode changed", "link changed", "program added", "program removed"} {
		if err := changes[name](); err != nil {
			t.Fatal(err)
		}
		after := mustOpen(t, root, o)
		if after.Key == before.Key {
			t.Errorf("%s: not rebuilt", name)
		}
		before = after
	}
	files.put(t, root, "usr/bin/nothing-of-ours", "x")
	if after := mustOpen(t, root, o); after.Key != before.Key {
		t.Error("rebuilt for a file that does not matter")
	}
}

func TestDamaged(t *testing.T) {
	onAMD64(t)
	root, o := debian().make(t), options(t, "armhf")
	r := mustOpen(t, root, o)
	stamp := (&cache{filepath.Join(o.Cache, "tools")}).stampName(Source{Root: root})
	damage := map[string]func() error{
		"index cut":            func() error { return os.Truncate(filepath.Join(r.Base, indexName), 40) },
		"index empty":          func() error { return os.Truncate(filepath.Join(r.Base, indexName), 0) },
		"index missing":        func() error { return os.Remove(filepath.Join(r.Base, indexName)) },
		"variant cut":          func() error { return os.Truncate(filepath.Join(r.Variant, indexName), 5) },
		"variant missing":      func() error { return os.RemoveAll(r.Variant) },
		"base missing":         func() error { return os.RemoveAll(r.Base) },
		"all missing":          func() error { return os.RemoveAll(filepath.Dir(r.Base)) },
		"stamp cut":            func() error { return os.Truncate(stamp, 100) },
		"stamp missing":        func() error { return os.Remove(stamp) },
		"stamp of other times": func() error { return os.WriteFile(stamp, []byte("99 x\nend\n"), 0o600) },
		"stamp with a bad key": func() error { return os.WriteFile(stamp, fmt.Appendf(nil, "%d ../../x\nend\n", format), 0o600) },
		"lock file missing":    func() error { return os.Remove(filepath.Join(filepath.Dir(r.Base), "in-use")) },
		"left by a killed one": func() error { return os.MkdirAll(filepath.Join(o.Cache, "tools/tmp-123/new/bin"), 0o755) },
	}
	for name, do := range damage {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		r = mustOpen(t, root, o)
		if _, ok := r.Lookup("/usr/bin/dash"); !ok {
			t.Errorf("%s: no dash", name)
		}
		if _, ok := r.Lookup("/usr/bin/dpkg"); !ok {
			t.Errorf("%s: no dpkg", name)
		}
		if _, err := os.Stat(filepath.Join(r.Base, "bin/dash")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := GC(t.Context(), o.Cache); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(o.Cache, "tools/tmp-*")); left != nil {
		t.Errorf("left: %q", left)
	}
}

// TestSourceChangesMeanwhile: packages are installed while it is built.
func TestSourceChangesMeanwhile(t *testing.T) {
	onAMD64(t)
	files := debian()
	root, o := files.make(t), options(t, "armhf")
	changes := 0
	o.Progress = func(int, int, string) {
		if changes++; changes < 3 {
			for _, name := range []string{"dash", "mawk"} {
				if err := os.WriteFile(filepath.Join(root, "usr/bin", name), []byte(program(glibc64)+strings.Repeat("x", changes)), 0o755); err != nil {
					t.Error(err)
				}
			}
		}
	}
	r := mustOpen(t, root, o)
	tool, ok := r.Lookup("/usr/bin/dash")
	now, err := os.Stat(filepath.Join(root, "usr/bin/dash"))
	if err != nil || !ok || tool.Size != now.Size() {
		t.Errorf("dash: %+v, %v", tool, err)
	}
	o.Progress = nil
	if again := mustOpen(t, root, o); again.Key != r.Key {
		t.Error("the stamp was old from the start")
	}
}

func TestTwoBuilders(t *testing.T) {
	onAMD64(t)
	root, o := debian().make(t), options(t, "armhf")
	var wg sync.WaitGroup
	keys := make(chan string, 8)
	for range cap(keys) {
		wg.Go(func() {
			r, err := Open(t.Context(), Source{Root: root}, o)
			if err != nil {
				t.Error(err)
				return
			}
			keys <- r.Key
			_ = r.Close()
		})
	}
	wg.Wait()
	close(keys)
	for k := range keys {
		if strings.Contains(k, "-") || k == "" {
			t.Errorf("key %q", k)
		}
	}
	if list, err := List(o.Cache); err != nil || len(list) != 1 {
		t.Errorf("%d tool roots, %v", len(list), err)
	}
}

func TestWaitEnds(t *testing.T) {
	onAMD64(t)
	root, o := debian().make(t), options(t, "armhf")
	c, err := openCache(o.Cache)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := c.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Source{Root: root}, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// TestKilled kills a builder half way; what it left is no tool root.
func TestKilled(t *testing.T) {
	onAMD64(t)
	root, o := debian().make(t), options(t, "armhf")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{killedEnv + "=" + root, "CACHE=" + o.Cache}
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("builder was not killed: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(o.Cache, "tools/tmp-*")); left == nil {
		t.Error("the killed one left nothing: it was not half way")
	}
	r := mustOpen(t, root, o)
	if _, err := os.Stat(filepath.Join(r.Base, "bin/dash")); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(o.Cache, "tools/tmp-*")); left != nil {
		t.Errorf("left: %q", left)
	}
}

const killedEnv = "CROSSROOT_TEST_KILLED"

// buildAndDie is the builder of TestKilled.
func buildAndDie(root string) {
	armhf, _ := arch.Lookup("armhf")
	_, err := Open(context.Background(), Source{Root: root}, Options{Cache: os.Getenv("CACHE"), Target: armhf, Progress: func(done, _ int, _ string) {
		if done == 4 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}})
	panic(err)
}

func TestModes(t *testing.T) {
	onAMD64(t)
	files := debian()
	root, o := files.make(t), options(t, "armhf")
	if err := syscall.Chmod(filepath.Join(root, "usr/bin/mawk"), 0o4711); err != nil {
		t.Fatal(err)
	}
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	r := mustOpen(t, root, o)
	for _, dir := range []string{r.Base, r.Variant} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			want := fs.FileMode(0o644)
			switch base := filepath.Base(filepath.Dir(name)); {
			case d.IsDir():
				want = fs.ModeDir | 0o755
			case d.Type() == fs.ModeSymlink:
				return nil
			case base == "bin" || base == "sbin" || d.Name() == loaderName:
				want = 0o755
			}
			if info.Mode() != want {
				t.Errorf("%s: %v, not %v", name, info.Mode(), want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	for _, dir := range []string{o.Cache, filepath.Join(o.Cache, "tools")} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
	}
}

func TestOwner(t *testing.T) {
	onAMD64(t)
	root, o := debian().make(t), options(t, "armhf")
	if err := os.MkdirAll(o.Cache, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(o.Cache, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Source{Root: root}, o); !errors.Is(err, ErrOwner) {
		t.Errorf("a cache that others can write to: %v", err)
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(o.Cache, 0o755), os.Chown(o.Cache, 1234, 1234)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), Source{Root: root}, o); !errors.Is(err, ErrOwner) {
			t.Errorf("somebody else's cache: %v", err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Cache = file
	if _, err := Open(t.Context(), Source{Root: root}, o); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file as cache: %v", err)
	}
	o.Cache = ""
	if _, err := Open(t.Context(), Source{Root: root}, o); err == nil {
		t.Error("no cache directory, no error")
	}
}

func TestGC(t *testing.T) {
	onAMD64(t)
	files := debian()
	root, o := files.make(t), options(t, "armhf")
	open := func() *Root {
		r, err := Open(t.Context(), Source{Root: root}, o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	used := open()
	files.put(t, root, "usr/bin/cat", program(glibc64))
	kept := open()
	files.put(t, root, "usr/bin/ls", program(glibc64))
	old := open()
	files.put(t, root, "usr/bin/rm", program(glibc64))
	current := open()
	for _, r := range []*Root{kept, old, current} {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	list, err := List(o.Cache)
	if err != nil || len(list) != 4 {
		t.Fatalf("%d tool roots, %v", len(list), err)
	}
	for _, e := range list {
		if e.InUse != (e.Key == used.Key) || e.Current != (e.Key == current.Key) || e.Damaged || e.Source != root || len(e.Targets) != 1 || e.Tools == 0 {
			t.Errorf("%+v", e)
		}
	}
	deleted, err := GC(t.Context(), o.Cache, kept.Key)
	if err != nil || len(deleted) != 1 || deleted[0].Key != old.Key {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	if err := used.Close(); err != nil {
		t.Error(err)
	}
	if deleted, err = GC(t.Context(), o.Cache); err != nil || len(deleted) != 2 {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	if list, err := List(filepath.Join(t.TempDir(), "none")); list != nil || err != nil {
		t.Errorf("a cache that does not exist: %v, %v", list, err)
	}
}
