package unpack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/debian/archive"
	. "github.com/crossroot/crossroot/internal/debian/archive/debmake"
)

// extract unpacks into a new directory, and returns it.
func extract(t testing.TB, deb []byte, keep func(archive.Entry) bool) (string, []archive.Entry, error) {
	t.Helper()
	a, err := archive.Open(bytes.NewReader(deb), int64(len(deb)))
	if err != nil {
		return "", nil, err
	}
	name := filepath.Join(t.TempDir(), "fresh")
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	record, err := Extract(context.Background(), a, dir, keep)
	return name, record, err
}

// tree describes a directory: path, type, mode of files, content or target, and where it is a hard link of another.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	var files []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			found[rel] = "dir"
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			found[rel] = "link " + target
		default:
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			found[rel] = fmt.Sprintf("%v %s", info.Mode(), text)
			for _, other := range files {
				if was, err := os.Lstat(filepath.Join(dir, other)); err == nil && os.SameFile(was, info) {
					found[rel] = "hard " + other
					break
				}
			}
			files = append(files, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestExtract(t *testing.T) {
	deb := Deb(ControlTar("pkg", "1", "amd64"), Tar(
		Member{Name: "./"},
		Member{Name: "./etc/"}, Member{Name: "./etc/conf", Content: "c"},
		Member{Name: "./usr/"}, Member{Name: "./usr/bin/", Mode: 0o7777},
		Member{Name: "./usr/bin/su", Content: "su", Mode: 0o6777},
		Member{Name: "./usr/bin/write", Content: "w", Mode: 0o666},
		Member{Name: "./usr/bin/hidden", Content: "h", Mode: 0o1000},
		Member{Name: "./usr/bin/su2", Kind: '1', Link: "./usr/bin/su"},
		Member{Name: "./usr/lib/deep/er/conf", Kind: '1', Link: "./etc/conf"},
		Member{Name: "./usr/lib/deep/er/su", Kind: '1', Link: "./usr/bin/su"},
		Member{Name: "./usr/lib/out", Kind: '2', Link: "/etc/passwd"},
		Member{Name: "./usr/lib/up", Kind: '2', Link: "../../../.."},
	))
	dir, record, err := extract(t, deb, func(e archive.Entry) bool { return strings.HasPrefix(e.Name, "usr") })
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		".": "dir", "usr": "dir", "usr/bin": "dir", "usr/bin/su": "-rwxr-xr-x su", "usr/bin/write": "-rw-r--r-- w", "usr/bin/hidden": "-rw-r--r-- h",
		"usr/bin/su2": "hard usr/bin/su", "usr/lib": "dir", "usr/lib/deep": "dir", "usr/lib/deep/er": "dir", "usr/lib/deep/er/su": "hard usr/bin/su",
		"usr/lib/out": "link /etc/passwd", "usr/lib/up": "link ../../../..",
	}
	if d := cmp.Diff(want, tree(t, dir)); d != "" {
		t.Error(d)
	}
	var names []string
	for _, e := range record {
		names = append(names, e.Name)
	}
	if d := cmp.Diff(strings.Fields("usr usr/bin usr/bin/su usr/bin/write usr/bin/hidden usr/bin/su2 usr/lib/deep/er/su usr/lib/out usr/lib/up"), names); d != "" {
		t.Error(d)
	}
}

// The attack's shape, and what must not happen: a file beside the directory, in it, or at the end of the link.
func TestNothingOutside(t *testing.T) {
	canary := t.TempDir()
	secret := filepath.Join(canary, "secret")
	if err := os.WriteFile(secret, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, members := range map[string][]Member{
		"B01 up":                    {{Name: "../owned", Content: "x"}},
		"B01 absolute":              {{Name: canary + "/owned", Content: "x"}},
		"B02 link, then below":      {{Name: "./d", Kind: '2', Link: canary}, {Name: "./d/owned", Content: "x"}},
		"B02 link, then directory":  {{Name: "./d", Kind: '2', Link: canary}, {Name: "./d/owned/"}},
		"B03 directory, then link":  {{Name: "./d/"}, {Name: "./d", Kind: '2', Link: canary}, {Name: "./d/owned", Content: "x"}},
		"B04 hard link":             {{Name: "./d", Kind: '1', Link: secret}, {Name: "./d", Content: "x"}},
		"B04 hard link by a link":   {{Name: "./l", Kind: '2', Link: secret}, {Name: "./d", Kind: '1', Link: "./l"}},
		"B06 root a link":           {{Name: "./", Kind: '2', Link: canary}, {Name: "./owned", Content: "x"}},
		"B08 link, then file":       {{Name: "./secret", Kind: '2', Link: secret}, {Name: "./secret", Content: "x"}},
		"B19 device":                {{Name: "./null", Kind: '3'}},
		"B19 whiteout":              {{Name: "./etc/passwd", Kind: '3'}},
		"B20 FIFO":                  {{Name: "./fifo", Kind: '6'}},
		"B22 attribute by PAX":      {{Name: "x", Kind: 'x', Content: "53 SCHILY.xattr.user.overlay.redirect=/etc\n"}, {Name: "./a", Content: "x"}},
		"B14 content that is short": {{Name: "./a", Content: "x", Size: "00000200000"}},
	} {
		dir, _, err := extract(t, Deb(ControlTar("pkg", "1", "amd64"), Tar(members...)), nil)
		if !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if got := tree(t, canary); !cmp.Equal(got, map[string]string{".": "dir", "secret": "-rw------- kept"}) {
			t.Fatalf("%s changed the canary: %v", name, got)
		}
		if around, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(around) != 1 {
			t.Fatalf("%s made %v", name, around)
		}
	}
}

// Even where the checks of package archive were wrong, nothing is followed, nothing overwritten.
func TestSecondLine(t *testing.T) {
	canary := t.TempDir()
	name := t.TempDir()
	dir, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	deb := Deb(ControlTar("pkg", "1", "amd64"), Tar(Member{Name: "./d/"}, Member{Name: "./d/a", Content: "x"}, Member{Name: "./d/b", Content: "x"}))
	a, err := archive.Open(bytes.NewReader(deb), int64(len(deb)))
	if err != nil {
		t.Fatal(err)
	}
	// Somebody puts a link in the place of a file while we unpack.
	_, err = Extract(context.Background(), a, dir, func(e archive.Entry) bool {
		if e.Name == "d/b" {
			if err := os.Symlink(filepath.Join(canary, "owned"), filepath.Join(name, "d/b")); err != nil {
				t.Fatal(err)
			}
		}
		return true
	})
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), filepath.Join(name, "d/b")) {
		t.Errorf("link in the place of a file: %v", err)
	}
	if got := tree(t, canary); len(got) != 1 {
		t.Errorf("the canary has %v", got)
	}
	if _, err := Extract(context.Background(), a, dir, nil); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("into a directory that is used: %v", err)
	}
}

func TestStops(t *testing.T) {
	huge := Deb(ControlTar("pkg", "1", "amd64", "Installed-Size: 99999999999"), Tar())
	if _, _, err := extract(t, huge, nil); !errors.Is(err, ErrNoSpace) {
		t.Errorf("more than the disk holds: %v", err)
	}
	deb := Deb(ControlTar("pkg", "1", "amd64"), Tar(Member{Name: "./a", Content: "x"}))
	a, err := archive.Open(bytes.NewReader(deb), int64(len(deb)))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if record, err := Extract(ctx, a, dir, nil); !errors.Is(err, context.Canceled) || len(record) != 0 {
		t.Errorf("cancelled: %v %v", record, err)
	}
}

// The second opinion is dpkg-deb's.
func TestLikeDpkgDeb(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("there is no dpkg-deb on this machine to compare with")
	}
	src := t.TempDir()
	long := strings.Repeat("a-long-name/", 12)
	for name, text := range map[string]string{
		"DEBIAN/control": "Package: pkg\nVersion: 1:2-3\nArchitecture: amd64\nMaintainer: x <x@example.org>\nInstalled-Size: 100\nDescription: x\n",
		"usr/bin/tool":   "#!/bin/sh\n", "usr/share/a": strings.Repeat("content\n", 100000), "usr/share/empty": "", long + "x": "x", "usr/share/ü": "x",
	} {
		if err := os.MkdirAll(filepath.Join(src, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.Contains(name, "bin/") {
			mode = 0o755
		}
		if err := os.WriteFile(filepath.Join(src, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("/etc/passwd", filepath.Join(src, "usr/link")), os.Symlink(strings.Repeat("../", 50), filepath.Join(src, "usr/long")),
		os.Link(filepath.Join(src, "usr/bin/tool"), filepath.Join(src, "usr/bin/hard"))); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"none", "gzip", "xz"} {
		file, theirs := filepath.Join(t.TempDir(), "pkg.deb"), t.TempDir()
		for _, cmd := range [][]string{{"dpkg-deb", "--root-owner-group", "-Z" + method, "-b", src, file}, {"dpkg-deb", "-x", file, theirs}} {
			if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", cmd, err, out)
			}
		}
		deb, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		ours, _, err := extract(t, deb, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tree(t, theirs), tree(t, ours)); d != "" {
			t.Errorf("%s:\n%s", method, d)
		}
		a, err := archive.Open(bytes.NewReader(deb), int64(len(deb)))
		if err != nil || a.Control.Version != "1:2-3" || a.Control.InstalledSize != 100<<10 {
			t.Errorf("%s: %+v %v", method, a, err)
		}
	}
}

// $CROSSROOT_DEBS names a directory with packages, such as apt's cache after a download.
func BenchmarkExtract(b *testing.B) {
	files, _ := filepath.Glob(os.Getenv("CROSSROOT_DEBS") + "/*.deb")
	if len(files) == 0 {
		b.Skip("CROSSROOT_DEBS names no directory with packages")
	}
	slices.Sort(files)
	for b.Loop() {
		var size int64
		for _, name := range files {
			deb, err := os.ReadFile(name)
			if err != nil {
				b.Fatal(err)
			}
			size += int64(len(deb))
			if _, _, err := extract(b, deb, nil); err != nil {
				b.Fatalf("%s: %v", name, err)
			}
		}
		b.SetBytes(size)
	}
}
