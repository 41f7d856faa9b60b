package twin

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/crossroot/crossroot/internal/debian/archive/debmake"
)

// damages are what can have happened to a file or a directory of the cache.
var damages = map[string]func(name string) error{
	"removed":   os.RemoveAll,
	"emptied":   func(n string) error { return truncate(n, func(int64) int64 { return 0 }) },
	"cut":       func(n string) error { return truncate(n, func(size int64) int64 { return size / 2 }) },
	"longer":    func(n string) error { return truncate(n, func(size int64) int64 { return size + 1 }) },
	"huge":      func(n string) error { return truncate(n, func(int64) int64 { return 64 << 30 }) },
	"flipped":   flip,
	"directory": func(n string) error { return errors.Join(os.RemoveAll(n), os.MkdirAll(n+"/x/y", 0o700)) },
	"file":      func(n string) error { return errors.Join(os.RemoveAll(n), os.WriteFile(n, []byte("x"), 0o600)) },
	"link":      func(n string) error { return errors.Join(os.RemoveAll(n), os.Symlink("/etc", n)) },
	"loop":      func(n string) error { return errors.Join(os.RemoveAll(n), os.Symlink(filepath.Base(n), n)) },
	"device":    func(n string) error { return errors.Join(os.RemoveAll(n), os.Symlink("/dev/zero", n)) },
	"FIFO":      func(n string) error { return errors.Join(os.RemoveAll(n), syscall.Mkfifo(n, 0o600)) },
	"closed":    func(n string) error { return chmod(n, 0) },
}

// errNot says that a damage makes no sense for this file.
var errNot = errors.New("not this one")

func truncate(name string, how func(int64) int64) error {
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || how(info.Size()) == info.Size() {
		return errNot
	}
	return os.Truncate(name, how(info.Size()))
}

func flip(name string) error {
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return errNot
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	text[len(text)/2] ^= 1
	return os.WriteFile(name, text, 0o600)
}

func chmod(name string, mode fs.FileMode) error {
	info, err := os.Lstat(name)
	if err != nil || info.Mode().Type() == fs.ModeSymlink || info.IsDir() && os.Geteuid() != 0 { // only root gets it away again
		return errNot
	}
	return os.Chmod(name, mode)
}

// below lists everything in a directory.
func below(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, name); rel != "." {
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Each file and directory of the cache, damaged in each way: the twin is made anew, or where somebody put something else in
// the place of a directory of the cache itself, an error names it.
func TestDamagedAnywhere(t *testing.T) {
	l := newLab(t)
	l.add("a", "1", "utils", Member{Name: "./usr/bin/a", Content: "text of a"}, Member{Name: "./usr/bin/l", Kind: '2', Link: "a"})
	l.add("b", "1", "utils", Member{Name: "./lib/b", Content: "text of b"})
	l.install("a=1", "b=1")
	first := l.twin(Options{})
	want := list(t, first.Dir)
	first.Close()
	for _, name := range below(t, l.cache) {
		for _, what := range slices.Sorted(maps.Keys(damages)) {
			damage := damages[what]
			if strings.HasPrefix(name, "twins/package/") { // what isn't needed again may still be damaged
				if err := os.RemoveAll(l.cache); err != nil {
					t.Fatal(err)
				}
				if _, err := l.openChecked("anew"); err != nil {
					t.Fatal(err)
				}
			}
			if err := damage(filepath.Join(l.cache, name)); errors.Is(err, errNot) {
				continue
			} else if err != nil {
				t.Fatal(name, what, err)
			}
			got, err := l.openChecked(name + " " + what)
			named := strings.HasPrefix(name, "twins/root-") && what == "directory" || filepath.Base(name) == "in-use" && what == "closed"
			if name == "twins" || name == "twins/lock" || name == "twins/package" || named {
				if err != nil && !strings.Contains(err.Error(), filepath.Join(l.cache, name)) {
					t.Errorf("%s %s: the message doesn't name it: %v", name, what, err)
				}
				if err != nil { // as the message asks for
					if err := os.RemoveAll(filepath.Join(l.cache, name)); err != nil {
						t.Fatal(err)
					}
					got, err = l.openChecked(name + " " + what)
				}
			}
			if err != nil {
				t.Fatalf("%s %s: %v", name, what, err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s %s:\n%s", name, what, d)
			}
		}
	}
	if _, err := GC(t.Context(), l.cache); err != nil {
		t.Error(err)
	}
}

// openChecked makes or checks the twin and returns its files, or never returns and is stopped.
func (l *lab) openChecked(what string) (map[string]string, error) {
	timer := time.AfterFunc(20*time.Second, func() { panic(what + ": never ends") })
	defer timer.Stop()
	twin, err := l.try(Options{Check: true})
	if err != nil {
		return nil, err
	}
	defer twin.Close()
	return list(l.T, twin.Dir), nil
}
