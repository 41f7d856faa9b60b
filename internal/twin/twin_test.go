package twin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/debian/archive"
	. "github.com/crossroot/crossroot/internal/debian/archive/debmake"
	"github.com/crossroot/crossroot/internal/debian/index"
	"github.com/crossroot/crossroot/internal/debian/repo"
)

// store is a repository in memory: package → versions.
type store struct {
	t        *testing.T
	dir      string
	packages map[string][]repo.Package
	files    map[string]string // by SHA256
	opened   int
	away     error // of open
	fetched  []string
}

func newStore(t *testing.T) *store {
	return &store{t: t, dir: t.TempDir(), packages: map[string][]repo.Package{}, files: map[string]string{}}
}

// add puts a package into it.
func (s *store) add(name, version, section string, members ...Member) {
	s.addFile(name, version, section, Deb(ControlTar(name, version, "amd64"), Tar(members...)))
}

func (s *store) addFile(name, version, section string, deb []byte) {
	sum := sha256.Sum256(deb)
	file := filepath.Join(s.dir, hex.EncodeToString(sum[:]))
	if err := os.WriteFile(file, deb, 0o600); err != nil {
		s.t.Fatal(err)
	}
	p := repo.Package{Package: index.Package{Name: name, Version: version, Arch: "amd64", Section: section, SHA256: filepath.Base(file), Size: int64(len(deb))}}
	s.packages[name] = append(s.packages[name], p)
	s.files[p.SHA256] = file
}

func (s *store) Resolve(name, version string) (repo.Package, error) {
	list := s.packages[name]
	if len(list) == 0 {
		return repo.Package{}, &repo.NotFoundError{Name: name, Arch: "amd64"}
	}
	for _, p := range list {
		if p.Version == version {
			return p, nil
		}
	}
	return list[len(list)-1], nil
}

func (s *store) Fetch(ctx context.Context, packages []repo.Package) (paths []string, err error) {
	for _, p := range packages {
		paths = append(paths, s.files[p.SHA256])
		s.fetched = append(s.fetched, p.Name)
	}
	slices.Sort(s.fetched)
	return paths, ctx.Err()
}

func (s *store) open(context.Context) (Repository, string, error) {
	s.opened++
	s.fetched = nil
	return s, "a test's store", s.away
}

// lab is a root, a cache and a store.
type lab struct {
	*testing.T
	*store
	root, cache string
}

func newLab(t *testing.T) *lab {
	l := &lab{T: t, store: newStore(t), root: t.TempDir(), cache: filepath.Join(t.TempDir(), "cache")}
	l.write("usr/bin/x", "")
	l.write("usr/lib/x", "")
	if err := errors.Join(os.Symlink("usr/bin", l.root+"/bin"), os.Symlink("usr/lib", l.root+"/lib")); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) write(name, text string) {
	l.T.Helper()
	full := filepath.Join(l.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
		l.T.Fatal(err)
	}
}

// install writes the root's database: NAME=VERSION, or NAME=VERSION:ARCH.
func (l *lab) install(packages ...string) {
	l.T.Helper()
	var b strings.Builder
	for _, p := range packages {
		name, version, _ := strings.Cut(p, "=")
		version, a, ok := strings.Cut(version, ":")
		if !ok {
			a = "armhf"
		}
		fmt.Fprintf(&b, "Package: %s\nStatus: install ok installed\nArchitecture: %s\nVersion: %s\n\n", name, a, version)
	}
	l.write("var/lib/dpkg/status", b.String())
}

func (l *lab) try(o Options) (*Twin, error) {
	l.T.Helper()
	root, err := os.Open(l.root)
	if err != nil {
		l.T.Fatal(err)
	}
	defer root.Close()
	o.Cache, o.Repository = l.cache, l.store.open
	o.Target, _ = arch.Lookup("armhf")
	o.Host, _ = arch.Lookup("amd64")
	twin, err := Open(context.Background(), root, o)
	if err == nil {
		l.T.Cleanup(func() { twin.Close() })
	}
	return twin, err
}

func (l *lab) twin(o Options) *Twin {
	l.T.Helper()
	twin, err := l.try(o)
	if err != nil {
		l.T.Fatal(err)
	}
	return twin
}

// list describes the files of a directory: content, or -> target.
func list(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(name)
			found[rel] = "-> " + target
			return err
		}
		text, err := os.ReadFile(name)
		found[rel] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTwin(t *testing.T) {
	l := newLab(t)
	l.add("tool", "1.0-1", "utils", Member{Name: "./bin/tool", Content: "tool", Mode: 0o4755}, Member{Name: "./usr/share/doc/tool/copyright", Content: "c"},
		Member{Name: "./etc/tool.conf", Content: "c"}, Member{Name: "./var/lib/tool", Content: "v"}, Member{Name: "./bin/hard", Kind: '1', Link: "./bin/tool"})
	l.add("lib", "2-1+b1", "libs", Member{Name: "./usr/lib/x86_64-linux-gnu/lib.so.1", Kind: '2', Link: "lib.so.1.2"},
		Member{Name: "./lib/x86_64-linux-gnu/lib.so.1.2", Content: "lib"}, Member{Name: "./usr/lib/x86_64-linux-gnu/lib.a", Content: "static"})
	l.add("newer", "3.1-1", "utils", Member{Name: "./usr/sbin/newer", Content: "n"})
	l.add("lib-dev", "2-1", "libdevel", Member{Name: "./usr/bin/lib-config", Content: "x"})
	l.add("data", "1", "utils", Member{Name: "./usr/bin/data", Content: "x"})
	l.install("tool=1.0-1", "lib=2-1", "newer=3.0-1", "lib-dev=2-1", "gone=1", "data=1:all", "foreign=1:i386")
	twin := l.twin(Options{})

	got := list(t, twin.Dir)
	want := map[string]string{
		"bin": "-> usr/bin", "lib": "-> usr/lib", "usr/bin/tool": "tool", "usr/bin/hard": "tool", "usr/sbin/newer": "n",
		"usr/lib/x86_64-linux-gnu/lib.so.1": "-> lib.so.1.2", "usr/lib/x86_64-linux-gnu/lib.so.1.2": "lib",
		"var/lib/dpkg/diversions": "", "var/lib/dpkg/info/tool.list": "/bin/tool\n/bin/hard\n", "var/lib/dpkg/info/newer.list": "/usr/sbin/newer\n",
		"var/lib/dpkg/info/lib.list": "/usr/lib/x86_64-linux-gnu/lib.so.1\n/lib/x86_64-linux-gnu/lib.so.1.2\n",
		"var/lib/dpkg/status": "Package: lib\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2-1+b1\n\n" +
			"Package: newer\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.1-1\n\n" +
			"Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\n\n",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if info, err := os.Stat(twin.Dir + "/usr/bin/tool"); err != nil || info.Mode() != 0o755 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	differences := []Difference{{"gone", "1", ""}, {"newer", "3.0-1", "3.1-1"}}
	if d := cmp.Diff(differences, twin.Differences); d != "" || twin.Packages != 3 || twin.LeftOut != 1 || twin.Unpacked != 3 || !twin.Built {
		t.Errorf("%+v\n%s", twin, d)
	}

	// Unchanged: no repository. The same report.
	again := l.twin(Options{})
	if l.opened != 1 || again.Key != twin.Key || again.Built || !cmp.Equal(again.Differences, differences) || again.Packages != 3 || again.From != "a test's store" {
		t.Errorf("again: opened %d times, %+v", l.opened, again)
	}
	// The file is written anew with the same packages: still none.
	l.install("tool=1.0-1", "lib=2-1", "newer=3.0-1", "lib-dev=2-1", "gone=1", "data=2:all")
	if again := l.twin(Options{}); l.opened != 1 || again.Key != twin.Key {
		t.Errorf("another package of all architectures: opened %d times", l.opened)
	}
}

func TestFollows(t *testing.T) {
	l := newLab(t)
	for _, p := range []string{"a", "b", "c"} {
		l.add(p, "1", "utils", Member{Name: "./usr/bin/" + p, Content: p + "1"})
		l.add(p, "2", "utils", Member{Name: "./usr/bin/" + p, Content: p + "2"})
	}
	l.install("a=1", "b=1")
	first := l.twin(Options{})
	l.install("a=1", "b=2", "c=1")
	second := l.twin(Options{})
	if got := list(t, second.Dir); got["usr/bin/a"] != "a1" || got["usr/bin/b"] != "b2" || got["usr/bin/c"] != "c1" || second.Unpacked != 2 {
		t.Errorf("%v %+v", got, second)
	}
	if !slices.Equal(l.fetched, []string{"b", "c"}) {
		t.Errorf("fetched %v", l.fetched)
	}
	if list(t, first.Dir)["usr/bin/b"] != "b1" {
		t.Error("the first twin changed")
	}
	// A package less, one back: everything is in the cache. For the latter the repository is asked which file it is.
	l.install("a=1", "b=2")
	if third := l.twin(Options{}); l.opened != 2 || third.Packages != 2 {
		t.Errorf("opened %d times, %+v", l.opened, third)
	}
	l.install("a=1", "b=1")
	if back := l.twin(Options{}); back.Key != first.Key || back.Unpacked != 0 || back.Built {
		t.Errorf("%+v", back)
	}
	// Another root with the same packages has the same twin, and the same files.
	other := newLab(t)
	other.store, other.cache = l.store, l.cache
	other.install("a=1", "b=1")
	if twin := other.twin(Options{}); twin.Key != first.Key || twin.Unpacked != 0 {
		t.Errorf("%+v", twin)
	}
	// A version appears.
	l.install("a=3")
	if twin := l.twin(Options{}); !cmp.Equal(twin.Differences, []Difference{{"a", "3", "2"}}) {
		t.Errorf("%+v", twin)
	}
	l.add("a", "3", "utils", Member{Name: "./usr/bin/a", Content: "a3"})
	if twin := l.twin(Options{Refresh: true}); len(twin.Differences) != 0 || list(t, twin.Dir)["usr/bin/a"] != "a3" {
		t.Errorf("%+v", twin)
	}
}

func TestUpdatesAndDiversions(t *testing.T) {
	l := newLab(t)
	l.add("dash", "1", "shells", Member{Name: "./bin/sh", Kind: '2', Link: "dash"}, Member{Name: "./bin/dash", Content: "dash"})
	l.add("bash", "1", "shells", Member{Name: "./bin/sh", Kind: '2', Link: "bash"}, Member{Name: "./bin/bash", Content: "bash"},
		Member{Name: "./usr/lib/x86_64-linux-gnu/l", Content: "l"}, Member{Name: "./bin/evil", Kind: '2', Link: "/etc/passwd"})
	l.install("bash=1")
	l.write("var/lib/dpkg/updates/0001", "Package: dash\nStatus: install ok unpacked\nArchitecture: armhf\nVersion: 1\n")
	l.write("var/lib/dpkg/diversions", "/bin/sh\n/bin/sh.distrib\ndash\n/usr/lib/arm-linux-gnueabihf/l\n/usr/lib/arm-linux-gnueabihf/l.diverted\n:\n"+
		"/bin/evil\n/var/lib/dpkg/status\n:\n/bin/bash\n/bin/../../../bash\n:\n")
	got := list(t, l.twin(Options{}).Dir)
	for name, want := range map[string]string{
		"usr/bin/sh": "-> dash", "usr/bin/sh.distrib": "-> bash", "usr/lib/x86_64-linux-gnu/l.diverted": "l", "usr/bin/evil": "-> /etc/passwd", "usr/bin/bash": "bash",
	} {
		if got[name] != want {
			t.Errorf("%s is %q", name, got[name])
		}
	}
	if !strings.HasPrefix(got["var/lib/dpkg/status"], "Package: bash\n") {
		t.Errorf("database: %q", got["var/lib/dpkg/status"])
	}
}

// Packages that get in each other's way, on purpose or not: nothing is written outside, the first one wins.
func TestPackagesAgainstEachOther(t *testing.T) {
	canary := t.TempDir()
	l := newLab(t)
	l.add("a", "1", "utils", Member{Name: "./usr/lib/d", Kind: '2', Link: canary}, Member{Name: "./usr/bin/f", Content: "a"}, Member{Name: "./lib32", Kind: '2', Link: canary})
	l.add("b", "1", "utils", Member{Name: "./usr/lib/d/owned", Content: "b"}, Member{Name: "./usr/bin/f", Content: "b"}, Member{Name: "./lib32/owned", Content: "b"},
		Member{Name: "./usr/bin/f2/x", Content: "b"}, Member{Name: "./usr/lib/deep/er/x", Content: "b"})
	l.add("c", "1", "utils", Member{Name: "./usr/bin/f2", Kind: '2', Link: canary}, Member{Name: "./usr/bin/f/below", Content: "c"}, Member{Name: "./bin", Kind: '2', Link: canary})
	l.install("a=1", "b=1", "c=1")
	got := list(t, l.twin(Options{}).Dir)
	if got["usr/bin/f"] != "a" || got["usr/bin/f2/x"] != "b" || got["usr/lib/deep/er/x"] != "b" {
		t.Errorf("%v", got)
	}
	if left := list(t, canary); len(left) != 0 {
		t.Errorf("outside: %v", left)
	}
}

func TestHostilePackage(t *testing.T) {
	good := Member{Name: "./usr/bin/x", Content: "x"}
	for name, deb := range map[string][]byte{
		"escape":        Deb(ControlTar("p", "1", "amd64"), Tar(Member{Name: "../../../x", Content: "x"})),
		"other package": Deb(ControlTar("q", "1", "amd64"), Tar(good)),
		"other version": Deb(ControlTar("p", "2", "amd64"), Tar(good)),
		"other CPU":     Deb(ControlTar("p", "1", "armhf"), Tar(good)),
		"cut":           Deb(ControlTar("p", "1", "amd64"), Tar(good))[:300],
		"nothing":       {},
	} {
		l := newLab(t)
		l.addFile("p", "1", "utils", deb)
		l.install("p=1")
		if _, err := l.try(Options{}); !errors.Is(err, archive.ErrDamaged) || !strings.Contains(err.Error(), "package p 1: ") {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(l.cache + "/twins/*"); len(left) != 2 { // lock, package
			t.Errorf("%s left %v", name, left)
		}
	}
}

func TestDamagedCache(t *testing.T) {
	l := newLab(t)
	l.add("a", "1", "utils", Member{Name: "./usr/bin/a", Content: "text"}, Member{Name: "./usr/bin/l", Kind: '2', Link: "a"})
	l.add("b", "1", "utils", Member{Name: "./usr/bin/b", Content: "text"})
	l.install("a=1", "b=1")
	first := l.twin(Options{})
	want := list(t, first.Dir)
	first.Close()
	glob := func(pattern string) string {
		found, _ := filepath.Glob(l.cache + "/twins/" + pattern)
		if len(found) != 1 {
			t.Fatalf("%s: %v", pattern, found)
		}
		return found[0]
	}
	for name, damage := range map[string]func() error{
		"file of a package cut": func() error { return os.Truncate(glob("package/a_*/files/usr/bin/a"), 2) },
		"file gone":             func() error { return os.Remove(glob("tree-*/root/usr/bin/b")) },
		"link gone":             func() error { return os.Remove(glob("tree-*/root/usr/bin/l")) },
		"package's record cut": func() error {
			return errors.Join(os.Truncate(glob("package/a_*/record"), 5), os.RemoveAll(glob("tree-*")))
		},
		"package gone":           func() error { return errors.Join(os.RemoveAll(glob("package/a_*")), os.RemoveAll(glob("tree-*"))) },
		"tree's record gone":     func() error { return os.Remove(glob("tree-*/record")) },
		"note cut":               func() error { return os.Truncate(glob("root-*"), 20) },
		"note of something else": func() error { return os.WriteFile(glob("root-*"), []byte(`{"format":1,"key":"../../x"}`), 0o600) },
		"left by a killed one":   func() error { return os.MkdirAll(l.cache+"/twins/tmp-x/y", 0o700) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		twin, err := l.try(Options{Check: true})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, list(t, twin.Dir)); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
		twin.Close()
		if left, _ := filepath.Glob(l.cache + "/twins/tmp-*"); len(left) > 1 {
			t.Errorf("%s left %v", name, left)
		}
	}
}

func TestErrors(t *testing.T) {
	l := newLab(t)
	if _, err := l.try(Options{}); !errors.Is(err, ErrNotDebian) {
		t.Errorf("no database: %v", err)
	}
	l.install("a=1:all")
	if _, err := l.try(Options{}); !errors.Is(err, ErrNoTwin) {
		t.Errorf("no packages: %v", err)
	}
	l.install("a=1")
	if _, err := l.try(Options{}); !errors.Is(err, ErrNoTwin) {
		t.Errorf("none to be had: %v", err)
	}
	l.write("var/lib/dpkg/status", "Package: ../x\nStatus: install ok installed\nVersion: 1\n")
	if _, err := l.try(Options{}); err == nil || !strings.Contains(err.Error(), "/var/lib/dpkg/status") {
		t.Errorf("hostile database: %v", err)
	}
	if err := os.Chmod(l.cache+"/twins", 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := l.try(Options{}); !errors.Is(err, ErrOwner) {
		t.Errorf("cache that others can write: %v", err)
	}
}

func TestGC(t *testing.T) {
	l := newLab(t)
	for _, v := range []string{"1", "2"} {
		l.add("a", v, "utils", Member{Name: "./usr/bin/a", Content: "a" + v})
		l.add("b", v, "utils", Member{Name: "./usr/bin/b", Content: "b" + v})
	}
	l.install("a=1", "b=1")
	used := l.twin(Options{})
	l.install("a=2", "b=1")
	newest := l.twin(Options{})
	newest.Close()
	removed, err := GC(context.Background(), l.cache)
	if err != nil || removed != (Removed{0, 1, 2}) { // the first twin is in use; its files are its own
		t.Errorf("%+v %v", removed, err)
	}
	if list(t, used.Dir)["usr/bin/a"] != "a1" {
		t.Error("a twin in use lost a file")
	}
	used.Close()
	if removed, err = GC(context.Background(), l.cache); err != nil || removed != (Removed{1, 0, 0}) {
		t.Errorf("%+v %v", removed, err)
	}
	if again := l.twin(Options{Check: true}); again.Built || again.Key != newest.Key {
		t.Errorf("%+v", again)
	} else {
		again.Close()
	}
	if err := os.RemoveAll(l.root); err != nil {
		t.Fatal(err)
	}
	if removed, err = GC(context.Background(), l.cache); err != nil || removed != (Removed{1, 2, 4}) {
		t.Errorf("%+v %v", removed, err)
	}
}

func TestSameRelease(t *testing.T) {
	roots := map[string]*os.File{}
	for name, text := range map[string]string{
		"bookworm": "NAME=x\nID=debian\nVERSION_CODENAME=bookworm\n", "quoted": "VERSION_CODENAME='bookworm'\nID=\"debian\"\n",
		"trixie": "ID=debian\nVERSION_CODENAME=trixie\n", "raspbian": "ID=raspbian\nVERSION_CODENAME=bookworm\n", "sid": "ID=debian\n",
	} {
		dir := t.TempDir()
		if err := errors.Join(os.Mkdir(dir+"/etc", 0o755), os.WriteFile(dir+"/etc/os-release", []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		roots[name] = f
	}
	for name, want := range map[string]bool{"bookworm": true, "quoted": true, "trixie": false, "raspbian": false, "sid": false} {
		if got := sameRelease(roots["bookworm"], roots[name]); got != want {
			t.Errorf("bookworm and %s: %v", name, got)
		}
	}
	if sameRelease(roots["sid"], roots["sid"]) {
		t.Error("releases without a name are the same")
	}
}

func TestWanted(t *testing.T) {
	for name, want := range map[string]bool{
		"bin/sh": true, "usr/bin/x": true, "usr/sbin/x": true, "lib/x86_64-linux-gnu/l.so": true, "usr/lib64/l": true, "usr/libexec/x": true,
		"usr/games/x": true, "etc/ld.so.conf.d/x.conf": true, "usr/lib/l.a": false, "usr/lib/debug/x": false, "lib/modules/6/x.ko": false,
		"usr/share/x": false, "etc/passwd": false, "var/lib/x": false, "usr/include/x.h": false, "usr/src/x": false, "boot/x": false,
		"usr/bin/a\nb": false, "usr": false, "opt/x": false,
	} {
		if got := wantedName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func FuzzReadRecord(f *testing.F) {
	f.Add([]byte("4 usr/bin/a\n-1 usr/bin/l\nend\n"))
	name := filepath.Join(f.TempDir(), "record")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok := readRecord(name); ok && !bytes.Contains(text, []byte("end")) {
			t.Fatal("a record without its end")
		}
	})
}
