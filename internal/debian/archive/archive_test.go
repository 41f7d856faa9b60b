package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	. "github.com/crossroot/crossroot/internal/debian/archive/debmake"
	"github.com/crossroot/crossroot/internal/debian/decompress"
)

// read reads a package whole and returns its entries, as lines.
func read(deb []byte) (string, error) {
	a, err := Open(bytes.NewReader(deb), int64(len(deb)))
	if err != nil {
		return "", err
	}
	f, err := a.Files()
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b strings.Builder
	for {
		e, err := f.Next()
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		n, err := io.Copy(io.Discard, f)
		if err == nil && n != e.Size {
			err = fmt.Errorf("%s: %d of %d bytes", e.Name, n, e.Size)
		}
		if err != nil {
			return b.String(), err
		}
		fmt.Fprintf(&b, "%s %s %04o %d:%d %d %s\n", e.Type, e.Name, e.Mode, e.UID, e.GID, e.Size, e.Link)
	}
}

var control = ControlTar("pkg", "1.0-1", "amd64", "Installed-Size: 10")

func TestRead(t *testing.T) {
	long := "./" + strings.Repeat("long/", 60)
	var dirs []Member
	for i := range 60 {
		dirs = append(dirs, Member{Name: "./" + strings.Repeat("long/", i+1)})
	}
	deb := Deb(control, Tar(append(dirs,
		Member{Name: "./"},
		Member{Name: "./usr/", Mode: 0o2755},
		Member{Name: "./usr/su", Content: "program", Mode: 0o4755, UID: 0, GID: 5},
		Member{Name: "usr/link", Kind: '2', Link: "/etc/passwd"},
		Member{Name: "./usr/hard", Kind: '1', Link: "./usr/su"},
		Member{Name: "./usr/hard2", Kind: '1', Link: "usr/hard"},
		Member{Name: long + "file", Content: strings.Repeat("x", 1000)},
		Member{Name: long + "link", Kind: '2', Link: strings.Repeat("../", 60)},
		Member{Name: "ustar", Magic: "ustar\x0000", UID: 1 << 30},
	)...))
	got, err := read(deb)
	if err != nil {
		t.Fatal(err)
	}
	got = got[strings.Index(got, "directory . "):]
	name := strings.TrimPrefix(long, "./")
	want := "directory . 0755 0:0 0 \ndirectory usr 2755 0:0 0 \nfile usr/su 4755 0:5 7 \nsymbolic link usr/link 0644 0:0 0 /etc/passwd\n" +
		"hard link usr/hard 0644 0:0 0 usr/su\nhard link usr/hard2 0644 0:0 0 usr/hard\nfile " + name + "file 0644 0:0 1000 \n" +
		"symbolic link " + name + "link 0644 0:0 0 " + strings.Repeat("../", 60) + "\nfile ustar 0644 1073741824:0 0 \n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	a, err := Open(bytes.NewReader(deb), int64(len(deb)))
	if err != nil || a.Control.Package != "pkg" || a.Control.Version != "1.0-1" || a.Control.Architecture != "amd64" || a.Control.InstalledSize != 10240 {
		t.Errorf("control: %+v %v", a.Control, err)
	}
}

func TestCompressions(t *testing.T) {
	data := Tar(Member{Name: "./a", Content: strings.Repeat("text ", 10000)})
	xz := func(b []byte) []byte {
		x, err := XZ(b, "-9", "--check=crc64")
		if err != nil {
			t.Fatalf("xz: %v", err)
		}
		return x
	}
	for _, m := range []struct {
		end  string
		make func([]byte) []byte
	}{{"", bytes.Clone}, {".gz", Gzip}, {".xz", xz}, {".zst", Zstd}} {
		deb := Ar(Version, Part{Name: "_extra", Content: []byte("x")}, Part{Name: "control.tar" + m.end, Content: m.make(control)},
			Part{Name: "data.tar" + m.end, Content: m.make(data)}, Part{Name: "_gpgorigin", Content: []byte("sig")})
		if got, err := read(deb); err != nil || got != "file a 0644 0:0 50000 \n" {
			t.Errorf("%s: %q %v", m.end, got, err)
		}
		// What is compressed is damaged anywhere, or cut, or followed by something: never a success. (A flipped bit of an
		// uncompressed archive is for the hash of the package to find.)
		if m.end == "" {
			continue
		}
		good := m.make(data)
		for i := 0; i < len(good); i += 1 + len(good)/200 {
			checkBad(t, fmt.Sprintf("%s cut at %d", m.end, i), wrap("data.tar"+m.end, good[:i]))
		}
		for _, tail := range []string{"x", "\x00", "garbage that is long enough to be a header"} {
			if m.end == ".xz" && tail == "\x00" {
				tail = "\x00\x00\x00"
			}
			checkBad(t, m.end+" and "+tail, wrap("data.tar"+m.end, append(bytes.Clone(good), tail...)))
		}
	}
}

func wrap(name string, data []byte) []byte {
	return Ar(Version, Part{Name: "control.tar.gz", Content: Gzip(control)}, Part{Name: name, Content: data})
}

// checkBad wants an error of this package that is fit to be shown, soon and in little memory.
func checkBad(t *testing.T, name string, deb []byte) {
	t.Helper()
	began := time.Now()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := read(deb)
	runtime.ReadMemStats(&after)
	switch {
	case err == nil:
		t.Errorf("%s: accepted:\n%s", name, got)
	case !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, decompress.ErrMethod):
		t.Errorf("%s: %v", name, err)
	case strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) || len(err.Error()) > 1000:
		t.Errorf("%s: message %q", name, err)
	}
	if d := time.Since(began); d > 30*time.Second {
		t.Errorf("%s: took %v", name, d)
	}
	if m := after.TotalAlloc - before.TotalAlloc; m > 256<<20 {
		t.Errorf("%s: %d MiB of memory", name, m>>20)
	}
}

// B15: cut at every byte.
func TestCutAnywhere(t *testing.T) {
	data := Tar(Member{Name: "./a", Content: "text"})
	for name, deb := range map[string][]byte{
		"gz":   Deb(control, data),
		"none": Ar(Version, Part{Name: "control.tar", Content: control}, Part{Name: "data.tar", Content: data}),
	} {
		if _, err := read(deb); err != nil {
			t.Fatal(err)
		}
		for n := range deb {
			if _, err := read(deb[:n]); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s cut to %d of %d bytes: %v", name, n, len(deb), err)
			}
		}
	}
	// The end of the tar archive too, when what is around it is whole.
	for n := range data {
		if _, err := read(wrap("data.tar.gz", Gzip(data[:n]))); !errors.Is(err, ErrDamaged) {
			t.Errorf("tar cut to %d of %d bytes: %v", n, len(data), err)
		}
	}
}
