package rootfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree makes a root: "-> x" is a link, "/" a directory.
func tree(t *testing.T, files map[string]string) *Root {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, full)
		} else if content == "/" {
			err = os.MkdirAll(full, 0o755)
		} else {
			err = os.WriteFile(full, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestResolve(t *testing.T) {
	r := tree(t, map[string]string{
		"usr/bin/dash": "dash", "bin": "-> usr/bin", "usr/bin/sh": "-> dash", "usr/bin/awk": "-> /etc/alternatives/awk",
		"etc/alternatives/awk": "-> /bin/dash", "up": "-> ../../../../../usr", "loop": "-> loop", "a": "-> b", "b": "-> /a",
		"host": "-> /proc/self/root", "root": "-> /", "gone": "-> /nowhere", "usr/bin/through": "-> dash/x",
	})
	for _, tt := range []struct {
		name, real string
		links      []string
		err        error
	}{
		{"/usr/bin/dash", "/usr/bin/dash", nil, nil},
		{"/bin/dash", "/usr/bin/dash", []string{"/bin"}, nil},
		{"bin//./sh", "/usr/bin/dash", []string{"/bin", "/usr/bin/sh"}, nil},
		{"/bin/awk", "/usr/bin/dash", []string{"/bin", "/usr/bin/awk", "/etc/alternatives/awk", "/bin"}, nil},
		{"/up/bin/dash", "/usr/bin/dash", []string{"/up"}, nil},
		{"/../../bin/../bin/dash", "/usr/bin/dash", []string{"/bin"}, nil},
		{"/root/root/root/usr", "/usr", []string{"/root", "/root", "/root"}, nil},
		{"/", "/", nil, nil},
		{"/loop", "", nil, unix.ELOOP},
		{"/a", "", nil, unix.ELOOP},
		{"/gone", "", []string{"/gone"}, fs.ErrNotExist},
		{"/host/etc/passwd", "", []string{"/host"}, fs.ErrNotExist},
		{"/usr/bin/dash/x", "", nil, unix.ENOTDIR},
		{"/usr/bin/through", "", []string{"/usr/bin/through"}, unix.ENOTDIR},
	} {
		real, links, err := r.Resolve(tt.name)
		if real != tt.real || !errors.Is(err, tt.err) || tt.links != nil && !slices.Equal(links, tt.links) {
			t.Errorf("Resolve(%q) = %q, %q, %v", tt.name, real, links, err)
		}
	}
}

// TestSwap: what was no link when it was resolved is one when it is opened.
func TestSwap(t *testing.T) {
	r := tree(t, map[string]string{"dir/file": "x", "file": "x", "pipe/x": "x"})
	for _, tt := range []struct {
		name string
		swap func(string) error
	}{
		{"/file", func(full string) error { return os.Symlink("/etc/passwd", full) }},
		{"/dir/file", func(full string) error { return os.Symlink("../file", full) }},
		{"/dir", func(full string) error { return os.Symlink("/etc", full) }}, // after what is in it
		{"/pipe/x", func(full string) error { return unix.Mkfifo(full, 0o644) }},
	} {
		name, swap := tt.name, tt.swap
		real, _, err := r.Resolve(name)
		if err != nil {
			t.Fatal(err)
		}
		full := r.HostPath(real)
		if err := errors.Join(os.RemoveAll(full), swap(full)); err != nil {
			t.Fatal(err)
		}
		if f, err := r.Open(real); err == nil {
			t.Errorf("%s: opened %s", name, f.Name())
		}
		if _, err := r.ReadDir(real); err == nil {
			t.Errorf("%s: listed", name)
		}
	}
	if f, err := r.Open("/dir/passwd"); err == nil {
		t.Errorf("opened %s", f.Name())
	}
}

func TestOpen(t *testing.T) {
	r := tree(t, map[string]string{"dir/a": "content", "dir/b": "/", "dir/c": "-> a"})
	f, err := r.Open("/dir/a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if b, err := io.ReadAll(f); err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %d, %v", flags, err)
	}
	if info, err := r.Stat("/dir/a"); err != nil || !info.Regular() || info.Size != 7 {
		t.Errorf("%+v, %v", info, err)
	}
	if info, err := r.Stat("/dir/c"); err != nil || info.Regular() || info.Dir() {
		t.Errorf("%+v, %v", info, err)
	}
	if info, err := r.Stat("/"); err != nil || !info.Dir() {
		t.Errorf("%+v, %v", info, err)
	}
	if list, err := r.ReadDir("/dir"); err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := r.Open("/dir/b"); err == nil {
		t.Error("opened a directory")
	}
	if _, err := Open(filepath.Join(r.Name(), "dir/a")); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a file as root: %v", err)
	}
}
