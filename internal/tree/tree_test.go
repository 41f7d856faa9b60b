package tree

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // SHA-256 of "abc"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func scan(t *testing.T, dir string, o Options) *Manifest {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	defer f.Close()
	m, err := Scan(f, o)
	must(t, err)
	return m
}

// sample makes one of everything that needs no privilege.
func sample(t *testing.T) string {
	t.Helper()
	syscall.Umask(0o022)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Mkdir(in("d"), 0o755))
	must(t, os.Chmod(in("d"), 0o755|os.ModeSetgid))
	must(t, os.WriteFile(in("d/z"), []byte("abc"), 0o644))
	must(t, os.Link(in("d/z"), in("a")))
	must(t, os.WriteFile(in("s"), nil, 0o600))
	must(t, os.Chmod(in("s"), 0o755|os.ModeSetuid))
	must(t, os.Symlink("/etc/shadow", in("link")))
	must(t, os.Symlink("nowhere\n", in("d/dangling")))
	must(t, syscall.Mkfifo(in("fifo"), 0o640))
	must(t, os.WriteFile(in("b\n\xff #=\\"), []byte("abc"), 0o644))
	must(t, os.Chtimes(in("s"), time.Time{}, time.Unix(-5, 7)))
	return dir
}

func TestScan(t *testing.T) {
	dir := sample(t)
	id := func(n uint32) uint32 { return n - uint32(os.Getuid()) + 7 }
	gid := func(n uint32) uint32 { return 8 }
	m := scan(t, dir, Options{UID: id, GID: gid})
	for i := range m.Entries {
		if m.Entries[i].Path != "s" {
			m.Entries[i].ModTime = time.Time{}
		}
	}
	want := []Entry{
		{Path: ".", Type: Dir, Mode: 0o755},
		{Path: "a", Type: File, Mode: 0o644, Size: 3, Hash: abc, Link: "a"},
		{Path: "b\n\xff #=\\", Type: File, Mode: 0o644, Size: 3, Hash: abc},
		{Path: "d", Type: Dir, Mode: 0o2755},
		{Path: "d/dangling", Type: Symlink, Mode: 0o777, Target: "nowhere\n"},
		{Path: "d/z", Type: File, Mode: 0o644, Size: 3, Hash: abc, Link: "a"},
		{Path: "fifo", Type: FIFO, Mode: 0o640},
		{Path: "link", Type: Symlink, Mode: 0o777, Target: "/etc/shadow"},
		{Path: "s", Type: File, Mode: 0o4755, Hash: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			ModTime: time.Unix(-5, 7)},
	}
	for i := range want {
		want[i].UID, want[i].GID = 7, 8
	}
	if d := cmp.Diff(want, m.Entries); d != "" {
		t.Error(d)
	}
	if e, ok := m.Lookup("d/z"); !ok || e.Link != "a" {
		t.Errorf("Lookup: %+v, %v", e, ok)
	}
	if _, ok := m.Lookup("d/y"); ok {
		t.Error("Lookup found what isn't there")
	}
}

func TestScanXattrsAndSkip(t *testing.T) {
	dir := t.TempDir()
	f := filepath.Join(dir, "f")
	must(t, os.WriteFile(f, nil, 0o644))
	must(t, os.MkdirAll(filepath.Join(dir, "skip/deep"), 0o755))
	long := strings.Repeat("v", 1000)
	must(t, unix.Setxattr(f, "user.long", []byte(long), 0))
	must(t, unix.Setxattr(f, "user.nul", []byte("\x00\x01"), 0))
	must(t, unix.Setxattr(f, "user.no", nil, 0))
	m := scan(t, dir, Options{
		Skip:      func(p string) bool { return p == "skip" },
		SkipXattr: func(n string) bool { return n == "user.no" || !strings.HasPrefix(n, "user.") },
	})
	if len(m.Entries) != 2 {
		t.Fatalf("entries: %+v", m.Entries)
	}
	if d := cmp.Diff(map[string]string{"user.long": long, "user.nul": "\x00\x01"}, m.Entries[1].Xattrs); d != "" {
		t.Error(d)
	}
}

// A10 of THREATS: deeper than PATH_MAX, and than the descriptors that may be open.
func TestScanDeep(t *testing.T) {
	dir := t.TempDir()
	const depth = 1500
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	must(t, err)
	for range depth {
		must(t, unix.Mkdirat(at, "deep", 0o755))
		next, err := unix.Openat(at, "deep", unix.O_PATH|unix.O_DIRECTORY, 0)
		must(t, err)
		unix.Close(at)
		at = next
	}
	unix.Close(at)
	m := scan(t, dir, Options{})
	if len(m.Entries) != depth+1 {
		t.Errorf("%d entries, want %d", len(m.Entries), depth+1)
	}
}

func TestScanErrors(t *testing.T) {
	f, err := os.Open("/dev/null")
	must(t, err)
	defer f.Close()
	if _, err := Scan(f, Options{}); err == nil {
		t.Error("a device was scanned")
	}
	var pe *os.PathError
	if _, err := Scan(f, Options{}); !errors.As(err, &pe) {
		t.Errorf("error %v is no PathError", err)
	}
}

func TestCompare(t *testing.T) {
	base := func() []Entry {
		return []Entry{
			{Path: ".", Type: Dir, Mode: 0o755},
			{Path: "dev", Type: Char, Mode: 0o666, Major: 1, Minor: 3},
			{Path: "f", Type: File, Mode: 0o644, Size: 3, Hash: abc, Xattrs: map[string]string{"user.a": "1"}},
			{Path: "l", Type: Symlink, Mode: 0o777, Target: "f"},
		}
	}
	tests := []struct {
		name   string
		change func(m *Manifest)
		times  bool
		want   string
	}{
		{"nothing", func(m *Manifest) {}, true, ""},
		{"time", func(m *Manifest) { m.Entries[2].ModTime = time.Unix(1, 0) }, true, "times f"},
		{"time unasked", func(m *Manifest) { m.Entries[2].ModTime = time.Unix(1, 0) }, false, ""},
		{"mode and owner", func(m *Manifest) { m.Entries[2].Mode, m.Entries[2].GID = 0o4644, 1 }, false, "mode f, owner f"},
		{"same start of hash", func(m *Manifest) { m.Entries[2].Hash = abc[:60] + "0000" }, false, "content f"},
		{"size", func(m *Manifest) { m.Entries[2].Size = 4 }, false, "content f"},
		{"target", func(m *Manifest) { m.Entries[3].Target = "g" }, false, "target l"},
		{"device", func(m *Manifest) { m.Entries[1].Minor = 5 }, false, "device dev"},
		{"xattr value", func(m *Manifest) { m.Entries[2].Xattrs["user.a"] = "2" }, false, "xattrs f"},
		{"xattr gone", func(m *Manifest) { m.Entries[2].Xattrs = nil }, false, "xattrs f"},
		{"link", func(m *Manifest) { m.Entries[2].Link = "e" }, false, "links f"},
		{"mount", func(m *Manifest) { m.Entries[0].Mount = true }, false, "mount ."},
		{"type", func(m *Manifest) { m.Entries[2] = Entry{Path: "f", Type: Dir, Mode: 0o755} }, false, "type f, mode f"},
		{"gone", func(m *Manifest) { m.Entries = m.Entries[:3] }, false, "presence l"},
		{"first gone", func(m *Manifest) { m.Entries = m.Entries[1:] }, false, "presence ."},
		{"new", func(m *Manifest) {
			m.Entries = append(m.Entries[:2:2], append([]Entry{{Path: "e", Type: FIFO}}, m.Entries[2:]...)...)
		}, false, "presence e"},
	}
	for _, tt := range tests {
		a, b := &Manifest{base()}, &Manifest{base()}
		tt.change(b)
		var got []string
		for _, d := range Compare(a, b, CompareOptions{Times: tt.times}) {
			got = append(got, fmt.Sprintf("%s %s", d.Aspect, d.Path))
		}
		if s := strings.Join(got, ", "); s != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, s, tt.want)
		}
	}
}

func TestWriteAndParse(t *testing.T) {
	m := scan(t, sample(t), Options{})
	m.Entries[1].Xattrs = map[string]string{"user.a=\n": "\x00\xff", "security.capability": ""}
	m.Entries[0].Mount = true
	m.Entries = append(m.Entries, Entry{Path: "t", Type: Char, Major: 5, Minor: 300, ModTime: time.Unix(0, 0)})
	var text bytes.Buffer
	must(t, m.Write(&text))
	again, err := Parse(bytes.NewReader(text.Bytes()))
	must(t, err)
	if d := cmp.Diff(m, again); d != "" {
		t.Error(d)
	}
	if !strings.Contains(text.String(), `./b\012\377\040\043\075\134 type=file mode=0644`) {
		t.Errorf("unexpected form:\n%s", &text)
	}
}

func TestParseErrors(t *testing.T) {
	for _, lines := range []string{
		"", "x", "#mtree v2.0\n./b type=dir\n./a type=dir", "#mtree v2.0\n./a type=dir\n./a type=dir",
		"#mtree v2.0\n./a", "#mtree v2.0\n./a type=door", "#mtree v2.0\n/a type=dir", "#mtree v2.0\n./a type=dir size=x",
		"#mtree v2.0\n./a type=dir mode=17777", "#mtree v2.0\n./\\9 type=dir", "#mtree v2.0\n./a type=dir color=red",
		"#mtree v2.0\n./a type=char device=1,3", "#mtree v2.0\n./a type=dir time=1",
	} {
		m, err := Parse(strings.NewReader(lines))
		if err == nil {
			t.Errorf("%q: parsed as %+v", lines, m)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("#mtree v2.0\n. type=dir mode=0755 uid=0 gid=0 time=1.000000000\n./a\\040b type=file size=3 sha256digest=" + abc))
	f.Add([]byte("#mtree v2.0\n./n type=char device=native,1,3 xattr.user.a=00ff hardlink=./m mountpoint"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse(bytes.NewReader(text))
		if err != nil {
			return
		}
		var once, twice bytes.Buffer
		must(t, m.Write(&once))
		again, err := Parse(bytes.NewReader(once.Bytes()))
		if err != nil {
			t.Fatalf("%v in %q", err, &once)
		}
		must(t, again.Write(&twice))
		if once.String() != twice.String() {
			t.Fatalf("%q became %q", &once, &twice)
		}
	})
}

// What could not be read is written down, read back, and never the same as anything.
func TestUnread(t *testing.T) {
	a := &Manifest{Entries: []Entry{{Path: "x y", Type: File, Mode: 0o600, Unread: "permission denied"}}}
	var text strings.Builder
	if err := a.Write(&text); err != nil {
		t.Fatal(err)
	}
	b, err := Parse(strings.NewReader(text.String()))
	if err != nil || b.Entries[0].Unread != a.Entries[0].Unread {
		t.Fatalf("%+v, %v", b, err)
	}
	if d := Compare(a, b, CompareOptions{}); len(d) != 1 || d[0].Aspect != Unread {
		t.Errorf("%v", d)
	}
}
