package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/standin"
)

// makeRoot makes a small armhf root.
func makeRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	armhf, _ := arch.Lookup("armhf")
	if err := standin.Root(root, armhf, standin.Options{}); err != nil {
		t.Fatal(err)
	}
	loader := filepath.Join(root, armhf.Loaders[0])
	if err := errors.Join(os.MkdirAll(filepath.Dir(loader), 0o755), os.WriteFile(loader, nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	return root
}

func lookAt(t *testing.T, name string) RootFacts {
	t.Helper()
	root, err := session.OpenRoot(name)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return look(root)
}

// asText writes findings that aren't OK, one a line.
func asText(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		if f.Level != OK {
			fmt.Fprintf(&b, "%s %s: %s\n", f.Level, f.Name, f.Found)
		}
	}
	return b.String()
}

func TestGoodRoot(t *testing.T) {
	f := lookAt(t, makeRoot(t))
	// Where the test's directory lies is not the root's fault.
	f.Mount.Type = "ext4"
	if text := asText(f.Findings()); text != "" {
		t.Error(text)
	}
	if f.Arch.Name != "armhf" || f.Native || f.Merged == "" {
		t.Errorf("%+v", f)
	}
}

// TestTroubledRoots breaks a root in one way each.
func TestTroubledRoots(t *testing.T) {
	link := func(to, name string) func(string) error {
		return func(root string) error {
			return errors.Join(os.RemoveAll(root+name), os.Symlink(to, root+name))
		}
	}
	write := func(name, text string, mode os.FileMode) func(string) error {
		return func(root string) error {
			return errors.Join(os.RemoveAll(root+name), os.MkdirAll(filepath.Dir(root+name), 0o755), os.WriteFile(root+name, []byte(text), mode))
		}
	}
	tests := []struct {
		name   string
		change func(root string) error
		want   string
	}{
		{"/proc to a canary", link("/tmp", "/proc"), "fail /proc: a symlink, not a directory"},
		{"/proc to itself", link("/proc", "/proc"), "warn /proc: a symlink to itself"},
		{"/dev a file", write("/dev", "", 0o644), "fail /dev: a file, not a directory"},
		{"/proc a FIFO", func(r string) error { return errors.Join(os.RemoveAll(r+"/proc"), unix.Mkfifo(r+"/proc", 0o644)) }, "fail /proc: a FIFO, not a directory"},
		{"/.cr in use", write("/.cr/x", "", 0o644), "fail /.cr: exists and is not empty"},
		{"no shell", func(r string) error { return os.Remove(r + "/bin/sh") }, "warn /bin/sh: there is none"},
		{"shell loop", link("sh", "/bin/sh"), "fail /bin/sh: /bin/sh is a loop of symlinks"},
		{"shell out of the root", link("/nosuch/sh", "/bin/sh"), "fail /bin/sh: a symlink to something that isn't there"},
		{"empty shell", write("/bin/sh", "", 0o755), "fail /bin/sh: /bin/sh is empty"},
		{"shell not executable", write("/bin/sh", "#!/bin/x\n", 0o644), "fail /bin/sh: /bin/sh is not executable"},
		{"shell a text", write("/bin/sh", "hello", 0o755), "fail /bin/sh: /bin/sh is neither an executable nor a script with an interpreter line"},
		{"shell its own interpreter", write("/bin/sh", "#!/bin/sh -e\n", 0o755), "fail /bin/sh: /bin/sh is a script that is interpreted by itself"},
		{"shell's interpreter missing", write("/bin/sh", "#! /usr/bin/nosuch\n", 0o755), "fail /bin/sh: its interpreter /usr/bin/nosuch isn't there"},
		{"shell a directory", func(r string) error { return errors.Join(os.Remove(r+"/bin/sh"), os.Mkdir(r+"/bin/sh", 0o755)) }, "fail /bin/sh: /bin/sh is not a file"},
		{"shell a FIFO", func(r string) error { return errors.Join(os.Remove(r+"/bin/sh"), unix.Mkfifo(r+"/bin/sh", 0o755)) }, "fail /bin/sh: /bin/sh is not a file"},
		{"shell for another CPU", func(r string) error {
			riscv, _ := arch.Lookup("riscv64")
			return errors.Join(os.Remove(r+"/bin/sh"), os.WriteFile(r+"/bin/sh", standin.Program{Arch: riscv}.Bytes(), 0o755))
		}, "fail system: a root of stand-ins for riscv64, by /bin/sh; dispatched here, but /bin/ls is for another CPU, armhf"},
		{"shell without a loader", func(r string) error { return os.Remove(r + "/lib/ld-linux-armhf.so.3") }, "warn /bin/sh: its loader /lib/ld-linux-armhf.so.3 isn't there"},
		{"preload", write("/etc/ld.so.preload", "/lib/libx.so\n", 0o644), "warn ld.so.preload: /etc/ld.so.preload loads /lib/libx.so"},
		{"opaque mark", func(r string) error { return unix.Setxattr(r+"/etc", "user.overlay.opaque", []byte("y"), 0) },
			"fail overlay marks: 1 bear user.overlay attributes: /etc (user.overlay.opaque)"},
		{"whiteout mark", func(r string) error {
			return errors.Join(write("/opt/a\nb\xff", "", 0o644)(r), unix.Setxattr(r+"/opt/a\nb\xff", "user.overlay.whiteout", []byte("y"), 0))
		}, `fail overlay marks: 1 bear user.overlay attributes: "/opt/a\nb\xff" (user.overlay.whiteout)`},
		{"whiteout", func(r string) error { return unix.Mknod(r+"/etc/gone", unix.S_IFCHR|0o600, 0) }, "fail whiteouts: 1 character devices 0:0: /etc/gone"},
		{"hard link out", func(r string) error { return os.Link(r+"/etc/passwd", r+"-outside") }, "warn hard links: 1 files have further names outside of the root: /etc/passwd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := makeRoot(t)
			if err := tt.change(root); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			f := lookAt(t, root)
			f.Mount.Type = "ext4"
			if text := asText(f.Findings()); !strings.HasPrefix(text, tt.want) || strings.Count(text, "\n") != 1 {
				t.Errorf("found %q, want %q", text, tt.want)
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// Marks that only root can leave.
func TestRootsOwnTroubles(t *testing.T) {
	if os.Getuid() != 0 {
		return // nobody else can make them
	}
	root := makeRoot(t)
	locked := root + "/etc/locked"
	if err := errors.Join(os.WriteFile(locked, nil, 0o644), os.Lchown(root+"/etc/passwd", 123456, 0), unix.Setxattr(root+"/usr", "trusted.overlay.opaque", []byte("y"), 0)); err != nil {
		t.Fatal(err)
	}
	chattr(t, locked, 0x10)
	defer chattr(t, locked, 0)
	if err := errors.Join(os.Mkdir(root+"/mnt", 0o755), unix.Mount("none", root+"/mnt", "tmpfs", 0, "size=4k")); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	defer unix.Unmount(root+"/mnt", unix.MNT_DETACH)
	f := lookAt(t, root)
	f.Mount.Type = "ext4"
	want := "fail owners: 1 belong to ids that a run doesn't have: /etc/passwd (user 123456)\n" +
		"warn overlay marks: 1 bear trusted.overlay attributes: /usr (trusted.overlay.opaque)\n" +
		"warn chattr: 1 immutable or append-only: /etc/locked\n" +
		"warn mounts: 1 mount points in it: /mnt\n"
	if text := asText(f.Findings()); text != want {
		t.Errorf("found\n%s, want\n%s", text, want)
	}
}

// chattr sets a file's flags (ioctl_iflags(2)).
func chattr(t *testing.T, name string, flags int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags); err != nil {
		t.Fatal(err)
	}
}

// A tree deeper than PATH_MAX, with names of every kind, is walked all the same; FIFOs are not opened.
func TestScanHostileTree(t *testing.T) {
	top := t.TempDir()
	for _, name := range []string{"new\nline", "esc\x1b[2J", "\xff\xfe", "-rf", "blank ", strings.Repeat("n", 255)} {
		if err := os.WriteFile(filepath.Join(top, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(top, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	const deep = 3000
	dir, err := unix.Open(top, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for range deep {
		if err == nil {
			err = unix.Mkdirat(dir, "d", 0o700)
		}
		if err == nil {
			var below int
			below, err = unix.Openat(dir, "d", unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			unix.Close(dir)
			dir = below
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(dir)
	f, err := os.Open(top)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	scan, err := scanRoot(f, scanIDs{})
	if err != nil {
		t.Fatal(err)
	}
	if scan.Directories != deep || scan.Files != 6 || scan.Others != 1 || scan.Names != 1 || scan.Owners.Count != 0 {
		t.Errorf("%+v", scan)
	}
	nobody := scanIDs{UIDs: []userns.Range{{Inside: 0, Outside: 1 << 30, Size: 1}}}
	if scan, err = scanRoot(f, nobody); err != nil || scan.Owners.Count != deep+8 || string(scan.Owners.First) != "/" {
		t.Errorf("%v, %+v", err, scan)
	}
}

// An ordinary user's scan reads what only its subordinate ids may.
func TestScanAsRunDoes(t *testing.T) {
	caller := userns.ReadCaller()
	if _, err := caller.Map(true); err != nil {
		t.Skipf("no ids for a run: %v", err)
	}
	f, err := os.Open(makeRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	scan, err := scanTree(f, caller)
	if err != nil || scan.Owners.Count != 0 || scan.Files == 0 {
		t.Errorf("%v, %+v", err, scan)
	}
	own, err := scanRoot(f, scanIDs{})
	if err != nil || own.Files != scan.Files || own.Directories != scan.Directories {
		t.Errorf("%v, %+v, directly %+v", err, scan, own)
	}
}

// BenchmarkScan walks 13,000 files, a small distribution.
func BenchmarkScan(b *testing.B) {
	top := b.TempDir()
	for d := range 130 {
		dir := filepath.Join(top, fmt.Sprint(d))
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		for n := range 100 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), nil, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	f, err := os.Open(top)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.ResetTimer()
	for range b.N {
		if _, err := scanRoot(f, scanIDs{UIDs: []userns.Range{{Inside: 0, Outside: 0, Size: 65536}}}); err != nil {
			b.Fatal(err)
		}
	}
}
