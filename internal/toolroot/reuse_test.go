package toolroot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// linked makes a tree with hard links to the files of another, as one twin follows another.
func linked(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, name)
		to := filepath.Join(dir, rel)
		switch {
		case err != nil || rel == ".":
			return err
		case d.IsDir():
			return os.Mkdir(to, 0o755)
		}
		return os.Link(name, to)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLike(t *testing.T) {
	onAMD64(t)
	root, o := debian().make(t), options(t, "armhf")
	first := mustOpen(t, root, o)
	next := linked(t, root)
	changed := tree{"usr/bin/mawk": program(glibc64, "libz.so.1"), "usr/bin/gzip": program(glibc64)}
	if err := os.Remove(next + "/usr/bin/mawk"); err != nil {
		t.Fatal(err)
	}
	for name, content := range changed {
		changed.put(t, next, name, content)
	}
	if err := os.Truncate(first.Base+"/sbin/useradd", 10); err != nil { // damaged
		t.Fatal(err)
	}
	o.Like = first
	second := mustOpen(t, next, o)
	o.Like = nil
	o.Cache = filepath.Join(t.TempDir(), "cache")
	fresh := mustOpen(t, next, o)

	shared := func(name string) bool {
		a, errA := os.Lstat(filepath.Join(first.Base, name))
		b, errB := os.Lstat(filepath.Join(second.Base, name))
		if errB != nil {
			t.Error(errB)
		}
		return errors.Join(errA, errB) == nil && os.SameFile(a, b)
	}
	for name, want := range map[string]bool{"bin/dash": true, "ld.so": true, "bin/mawk": false, "bin/gzip": false, "sbin/useradd": false} {
		if shared(name) != want {
			t.Errorf("%s is shared: %v", name, !want)
		}
	}
	want, err := fresh.Files()
	if err != nil {
		t.Fatal(err)
	}
	got, err := second.Files()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d files, not %d", len(got), len(want))
	}
	for i, f := range want {
		if f.Path != got[i].Path || len(f.Rewrites) != len(got[i].Rewrites) {
			t.Errorf("%+v, not %+v", got[i], f)
		}
		dir, other := second.Base, fresh.Base
		info, err := os.Lstat(filepath.Join(dir, f.Path))
		if err != nil {
			dir, other = second.Variant, fresh.Variant
		} else if info.Mode()&fs.ModeSymlink != 0 {
			continue
		}
		a, errA := os.ReadFile(filepath.Join(dir, f.Path))
		b, errB := os.ReadFile(filepath.Join(other, f.Path))
		if err := errors.Join(errA, errB); err != nil || string(a) != string(b) {
			t.Errorf("%s differs from one that was made anew: %v", f.Path, err)
		}
	}
}
