package at

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// eachKernel runs a test with every kernel interface there is, then as on kernels without openat2 and listxattrat.
func eachKernel(t *testing.T, test func(t *testing.T)) {
	for _, old := range []bool{false, true} {
		name := "new"
		if old {
			name = "old"
		}
		t.Run(name, func(t *testing.T) {
			noOpenat2.Store(old)
			noXattrat.Store(old)
			defer noOpenat2.Store(false)
			defer noXattrat.Store(false)
			test(t)
		})
	}
}

func openTemp(t *testing.T) (string, int) {
	t.Helper()
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return dir, fd
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		dir, fd := openTemp(t)
		must(t, os.Mkdir(dir+"/d", 0o755))
		must(t, os.WriteFile(dir+"/f", nil, 0o644))
		must(t, os.Symlink("d", dir+"/ld"))
		must(t, os.Symlink("f", dir+"/lf"))
		must(t, unix.Mkfifo(dir+"/p", 0o644))
		for _, c := range []struct {
			open func(int, string) (int, error)
			name string
			want []error
		}{
			{OpenDir, "d", []error{nil}},
			{OpenFile, "f", []error{nil}},
			{OpenDir, "ld", []error{unix.ELOOP, unix.ENOTDIR}},
			{OpenFile, "lf", []error{unix.ELOOP}},
			{OpenDir, "f", []error{unix.ENOTDIR}},
			{OpenFile, "p", []error{unix.EINVAL}},
			{OpenFile, "d", []error{unix.EINVAL}},
			{OpenDir, "..", []error{unix.EINVAL}},
			{OpenDir, ".", []error{unix.EINVAL}},
			{OpenDir, "", []error{unix.EINVAL}},
			{OpenDir, "d/", []error{unix.EINVAL}},
			{OpenFile, "d/../f", []error{unix.EINVAL}},
			{CreateFile, "f", []error{unix.EEXIST}},
			{CreateFile, "lf", []error{unix.EEXIST}},
			{CreateFile, "../x", []error{unix.EINVAL}},
		} {
			got, err := c.open(fd, c.name)
			Close(got)
			found := false
			for _, want := range c.want {
				found = found || err == want
			}
			if !found {
				t.Errorf("open %q: %v, want %v", c.name, err, c.want)
			}
		}
	})
}

// TestOpenStaysOnMount: /proc is another mount than /.
func TestOpenStaysOnMount(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		root, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		defer unix.Close(root)
		if fd, err := OpenDir(root, "proc"); err != unix.EXDEV {
			t.Errorf("open /proc: %d, %v", fd, err)
		}
	})
}

func TestCursor(t *testing.T) {
	_, fd := openTemp(t)
	top := &Dir{}
	c, err := NewCursor(fd, top)
	must(t, err)
	defer c.Close()
	const depth = 5 * maxOpen
	chain := []*Dir{top}
	for i := range depth {
		here, err := c.Seek(chain[i])
		must(t, err)
		must(t, Mkdir(here, "d"))
		must(t, Mkdir(here, "side"))
		chain = append(chain, chain[i].Child("d"))
	}
	inodes := make([]Inode, depth+1)
	open := 0
	for i, d := range chain {
		here, err := c.Seek(d)
		must(t, err)
		st, err := Fstat(here)
		must(t, err)
		inodes[i] = st.Inode
	}
	for _, s := range c.steps {
		if s.fd >= 0 {
			open++
		}
	}
	if open > maxOpen+1 {
		t.Errorf("%d descriptors open", open)
	}
	for _, i := range []int{depth - 1, 3, 4, 100, 0, depth, 2} {
		here, err := c.Seek(chain[i])
		must(t, err)
		if st, err := Fstat(here); err != nil || st.Inode != inodes[i] {
			t.Errorf("place %d: %v, %v", i, st.Inode, err)
		}
		if i < depth {
			_, err = c.Seek(chain[i].Child("side"))
			must(t, err)
		}
	}
	if want := strings.Repeat("/d", depth); chain[depth].Path() != want || chain[depth].Join("f") != want+"/f" || top.Path() != "/" || top.Join("f") != "/f" {
		t.Error("wrong paths")
	}
	if _, err := c.Seek(&Dir{}); err == nil {
		t.Error("a place of another tree was found")
	}
}

// TestCursorNotLedAstray: on the way back up a directory has been moved elsewhere.
func TestCursorNotLedAstray(t *testing.T) {
	dir, fd := openTemp(t)
	top := &Dir{}
	c, err := NewCursor(fd, top)
	must(t, err)
	defer c.Close()
	d := top
	var half *Dir
	for i := range 3 * maxOpen {
		here, err := c.Seek(d)
		must(t, err)
		must(t, Mkdir(here, "d"))
		d = d.Child("d")
		if i == maxOpen/2 {
			half = d
		}
	}
	_, err = c.Seek(d)
	must(t, err)
	must(t, os.Mkdir(dir+"/elsewhere", 0o755))
	must(t, os.Rename(filepath.Join(dir, half.Child("d").Path()), dir+"/elsewhere/d"))
	if _, err := c.Seek(half); err != unix.ESTALE {
		t.Errorf("Seek: %v", err)
	}
}

func TestCopy(t *testing.T) {
	for name, c := range map[string]struct {
		make   func(f *os.File) error
		blocks int64 // at most
	}{
		"empty":      {func(*os.File) error { return nil }, 0},
		"small":      {func(f *os.File) error { _, err := f.WriteString("small"); return err }, 16},
		"hole only":  {func(f *os.File) error { return f.Truncate(10 << 20) }, 0},
		"hole first": {func(f *os.File) error { _, err := f.WriteAt([]byte("x"), 10<<20); return err }, 64},
		"hole last": {func(f *os.File) error {
			_, err := f.WriteAt(bytes.Repeat([]byte("y"), 300<<10), 0)
			return firstError(err, f.Truncate(10<<20))
		}, 2048},
		"holes between": {func(f *os.File) error {
			for i := range int64(9) {
				if _, err := f.WriteAt([]byte("z"), i<<20); err != nil {
					return err
				}
			}
			return nil
		}, 300},
		"large": {func(f *os.File) error { _, err := f.Write(bytes.Repeat([]byte("large"), 2<<20)); return err }, 1 << 20},
	} {
		for _, noKernel := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				dir, fd := openTemp(t)
				in, err := os.Create(dir + "/in")
				must(t, err)
				defer in.Close()
				must(t, c.make(in))
				st, err := Lstat(fd, "in")
				must(t, err)
				out, err := CreateFile(fd, "out")
				must(t, err)
				defer unix.Close(out)
				copier := Copier{noKernel: noKernel}
				must(t, copier.Copy(context.Background(), out, int(in.Fd()), st))
				a, err := os.ReadFile(dir + "/in")
				must(t, err)
				b, err := os.ReadFile(dir + "/out")
				must(t, err)
				if !bytes.Equal(a, b) {
					t.Errorf("%d bytes became %d others", len(a), len(b))
				}
				if st, err := Fstat(out); err != nil || st.Blocks > c.blocks {
					t.Errorf("%d blocks, %v", st.Blocks, err)
				}
			})
		}
	}
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// TestCopyShrunk: a file that is shorter than it was said to be is an error, not a silent hole.
func TestCopyShrunk(t *testing.T) {
	dir, fd := openTemp(t)
	must(t, os.WriteFile(dir+"/in", []byte("short"), 0o644))
	for _, size := range []int64{100, 1 << 20} {
		in, err := OpenFile(fd, "in")
		must(t, err)
		out, err := CreateFile(fd, "out")
		must(t, err)
		var c Copier
		if err := c.Copy(context.Background(), out, in, Stat{Size: size, Blocks: size}); err == nil {
			t.Errorf("%d bytes copied from 5", size)
		}
		Close(in)
		Close(out)
		must(t, Unlink(fd, "out"))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	in, err := OpenFile(fd, "in")
	must(t, err)
	defer Close(in)
	var c Copier
	if err := c.Copy(ctx, in, in, Stat{Size: 1 << 20, Blocks: 1 << 20}); err != context.Canceled {
		t.Error(err)
	}
}

func TestXattrs(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		dir, fd := openTemp(t)
		must(t, os.WriteFile(dir+"/f", nil, 0o644))
		must(t, os.Symlink("f", dir+"/l"))
		must(t, unix.Mkfifo(dir+"/p", 0o644))
		must(t, os.Mkdir(dir+"/d", 0o755))
		must(t, unix.Setxattr(dir+"/f", "user.one", []byte("1"), 0))
		must(t, unix.Setxattr(dir+"/f", "user.long", bytes.Repeat([]byte("2"), 1000), 0))
		must(t, unix.Setxattr(dir+"/d", "user."+strings.Repeat("n", 200), nil, 0))
		must(t, unix.Setxattr(dir+"/d", "user."+strings.Repeat("m", 200), nil, 0))
		must(t, unix.Setxattr(dir+"/d", "user."+strings.Repeat("o", 200), nil, 0))
		for name, want := range map[string]int{"f": 2, "l": 0, "p": 0, "d": 3} {
			st, err := Lstat(fd, name)
			must(t, err)
			names, err := Xattrs(fd, name, st.Type)
			if err != nil || count(names) != want {
				t.Errorf("%s: %q, %v", name, names, err)
			}
		}
		f, err := OpenFile(fd, "f")
		must(t, err)
		defer Close(f)
		if val, err := Fgetxattr(f, "user.long"); err != nil || len(val) != 1000 {
			t.Errorf("%d bytes, %v", len(val), err)
		}
		must(t, Fremovexattr(f, "user.one"))
		must(t, Fremovexattr(f, "user.one"))
	})
}

// count leaves out the labels that a machine may give to every file.
func count(names []string) int {
	n := 0
	for _, name := range names {
		if strings.HasPrefix(name, "user.") {
			n++
		}
	}
	return n
}

func TestRemoveAll(t *testing.T) {
	dir, fd := openTemp(t)
	top := &Dir{}
	c, err := NewCursor(fd, top)
	must(t, err)
	defer c.Close()
	d := top
	for range 3000 {
		here, err := c.Seek(d)
		must(t, err)
		must(t, Mkdir(here, "d"))
		must(t, MakeSymlink("/", here, "l"))
		d = d.Child("d")
	}
	must(t, os.Mkdir(dir+"/d/locked", 0o700))
	must(t, os.WriteFile(dir+"/d/locked/f", nil, 0o600))
	must(t, os.Chmod(dir+"/d/locked", 0))
	for _, name := range []string{"d", "l", "missing"} {
		if where, err := RemoveAll(fd, name); err != nil {
			t.Errorf("remove %q: %v", where, err)
		}
	}
	if empty, err := Empty(fd); err != nil || !empty {
		t.Error("something is left", err)
	}
}

func TestRename(t *testing.T) {
	dir, fd := openTemp(t)
	must(t, os.WriteFile(dir+"/a", []byte("a"), 0o644))
	must(t, os.Mkdir(dir+"/b", 0o755))
	if err := Rename(fd, "a", fd, "b"); err != unix.EEXIST {
		t.Errorf("renamed over something: %v", err)
	}
	must(t, Exchange(fd, "a", fd, "b"))
	st, err := Lstat(fd, "b")
	if err != nil || st.Type != File {
		t.Error(st, err)
	}
	if err := Rename(fd, "b", fd, "../c"); err != unix.EINVAL {
		t.Error(err)
	}
}
