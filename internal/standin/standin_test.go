package standin

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/elfimage"
)

// Every architecture's stand-in is read back as what it was made for, by crossroot's reader and by the library's.
func TestProgram(t *testing.T) {
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			p := Program{Arch: a, Interp: glibcLoader(a), Strings: []string{"one", "9.1", "the third constant"}}
			b := p.Bytes()
			image, err := elfimage.Open(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := arch.IdentifyProgram(image.Header, image.Interp()); !ok || got.Name != a.Name {
				t.Errorf("identified as %q", got.Name)
			}
			if image.Interp() != p.Interp || image.Type != elf.ET_EXEC {
				t.Errorf("interpreter %q, type %v", image.Interp(), image.Type)
			}
			if off, ok := image.FileOffset(image.Entry); !ok || !bytes.Equal(b[off:off+code], make([]byte, code)) {
				t.Errorf("entry %#x is not in the file's code", image.Entry)
			}
			var found []string
			if err := image.Strings(func(_ int64, s string) bool { found = append(found, s); return true }); err != nil {
				t.Fatal(err)
			}
			for _, s := range p.Strings {
				if !slices.Contains(found, s) {
					t.Errorf("constant %q not among %q", s, found)
				}
			}
			if f, err := elf.NewFile(bytes.NewReader(b)); err != nil {
				t.Error(err)
			} else if f.Machine != a.Machine || f.Class != a.Class || f.Data != a.Order {
				t.Errorf("%v %v %v", f.Machine, f.Class, f.Data)
			}
			magic, mask := a.Magic()
			for i := range magic {
				if b[i]&mask[i] != magic[i]&mask[i] {
					t.Fatalf("binfmt_misc's magic differs at byte %d", i)
				}
			}
		})
	}
}

// A static library-like stand-in has no interpreter.
func TestShared(t *testing.T) {
	a, _ := arch.Lookup("armhf")
	b := Program{Arch: a, Shared: true}.Bytes()
	image, err := elfimage.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if image.Type != elf.ET_DYN || image.Interp() != "" {
		t.Errorf("type %v, interpreter %q", image.Type, image.Interp())
	}
}

func TestRoot(t *testing.T) {
	a, _ := arch.Lookup("armhf")
	dir := filepath.Join(t.TempDir(), "root")
	o := Options{
		Packages: map[string]string{"dash": "0.5", "sed": "4.9"},
		Programs: []string{"/usr/lib/app/tool"},
		Files:    map[string]string{"/opt/x.sh": "#!/bin/sh\n", "/opt/x.txt": "x"},
	}
	if err := Root(dir, a, o); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{
		"usr/bin/dash": 0o755, "usr/lib/app/tool": 0o755, "opt/x.sh": 0o755, "opt/x.txt": 0o644, "etc/shadow": 0o640,
		"root": os.ModeDir | 0o700, "tmp": os.ModeDir | os.ModeSticky | 0o777, "bin": os.ModeSymlink | 0o777,
		"usr/bin/sh": os.ModeSymlink | 0o777, ".": os.ModeDir | 0o755, "run": os.ModeDir | 0o755,
	} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		} else if info.Mode() != mode {
			t.Errorf("%s: mode %v, want %v", name, info.Mode(), mode)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "var/lib/dpkg/status"))
	const want = "Package: dash\nStatus: install ok installed\nArchitecture: armhf\nVersion: 0.5\n\n" +
		"Package: sed\nStatus: install ok installed\nArchitecture: armhf\nVersion: 4.9\n\n"
	if err != nil || string(text) != want {
		t.Errorf("database %q, %v", text, err)
	}
	if err := Root(dir, a, o); err == nil {
		t.Error("a root was made in a directory that isn't empty")
	}
}
