package decompress

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/crossroot/crossroot/internal/debian/archive/debmake"
)

func compressed(t testing.TB, text []byte) map[Method][]byte {
	xz, err := debmake.XZ(text)
	if err != nil {
		t.Fatalf("xz: %v", err)
	}
	return map[Method][]byte{None: text, Gzip: debmake.Gzip(text), XZ: xz, Zstd: debmake.Zstd(text)}
}

func read(m Method, data []byte) ([]byte, error) {
	z, err := NewReader(bytes.NewReader(data), m)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return io.ReadAll(z)
}

func TestRoundTrip(t *testing.T) {
	for _, text := range []string{"", "a", strings.Repeat("some text, ", 100_000)} {
		for m, data := range compressed(t, []byte(text)) {
			if got := Detect(data); got != m {
				t.Errorf("%s is taken for %s", m, got)
			}
			if got, err := read(m, data); err != nil || string(got) != text {
				t.Errorf("%s: %d bytes, %v", m, len(got), err)
			}
		}
	}
}

func TestDamage(t *testing.T) {
	text := []byte(strings.Repeat("some text, ", 300))
	for m, data := range compressed(t, text) {
		if m == None {
			continue
		}
		for n := range data {
			if _, err := read(m, data[:n]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s cut to %d of %d bytes: %v", m, n, len(data), err)
			}
			flipped := bytes.Clone(data)
			flipped[n] ^= 0x10
			if got, err := read(m, flipped); err == nil && !bytes.Equal(got, text) {
				t.Errorf("%s with a flipped bit at %d: accepted", m, n)
			}
		}
		if _, err := read(m, append(bytes.Clone(data), "tail"...)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s and a tail: %v", m, err)
		}
	}
}

// failing is a disk that goes away: not damage.
type failing struct{ data []byte }

var errDisk = errors.New("input/output error")

func (f *failing) Read(p []byte) (int, error) {
	if len(f.data) == 0 {
		return 0, errDisk
	}
	n := copy(p, f.data)
	f.data = f.data[n:]
	return n, nil
}

func TestReaderBelow(t *testing.T) {
	for m, data := range compressed(t, []byte(strings.Repeat("some text, ", 3000))) {
		z, err := NewReader(&failing{data[:len(data)-3]}, m)
		if err == nil {
			_, err = io.ReadAll(z)
		}
		if !errors.Is(err, errDisk) || errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", m, err)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]Method{
		"data.tar": None, "data.tar.gz": Gzip, "data.tar.xz": XZ, "data.tar.zst": Zstd, "data.tar.lzma": lzma, "x.bz2": bzip2, ".gz": None, "": None,
	} {
		if got := Extension(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, m := range []Method{lzma, bzip2, ""} {
		if _, err := read(m, []byte("BZh9")); !errors.Is(err, ErrMethod) {
			t.Errorf("%s: %v", m, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for m, data := range compressed(f, []byte(strings.Repeat("some text, ", 30))) {
		f.Add(string(m), data)
	}
	f.Fuzz(func(t *testing.T, m string, data []byte) {
		z, err := NewReader(bytes.NewReader(data), Method(m))
		if err == nil {
			_, err = io.CopyN(io.Discard, z, 1<<20)
			z.Close()
		}
		if err != nil && err != io.EOF && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrMethod) {
			t.Fatal(err)
		}
	})
}
