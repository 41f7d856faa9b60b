package relocate

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/relocate/tinyelf"
)

const (
	libDir = "/usr/lib/x86_64-linux-gnu"
	interp = "/lib64/ld-linux-x86-64.so.2"
)

// rewrites lists "old → new" in the order of the file.
func rewrites(list []Change) (text []string) {
	for _, c := range list {
		text = append(text, c.Old+" → "+c.New)
	}
	return text
}

func TestRewrite(t *testing.T) {
	debian := Rules{LibDir: libDir}
	tests := []struct {
		name  string
		file  tinyelf.File
		rules Rules
		want  []string
	}{
		{"nothing", tinyelf.File{}, debian, nil},
		{
			"interpreter", tinyelf.File{Interp: interp, Needed: []string{"libc.so.6"}}, debian,
			[]string{interp + " → /.cr/ld.so"},
		},
		{
			"strings", tinyelf.File{ROData: []byte("\x00/usr/lib/x86_64-linux-gnu/gconv\x00/lib/x86_64-linux-gnu\x00")}, debian,
			[]string{"/usr/lib/x86_64-linux-gnu → /.cr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu → /.cr/x86_64-linux-gnu"},
		},
		{
			"after other data", tinyelf.File{ROData: []byte("\x01\x80/lib/x86_64-linux-gnu/security/\x00")}, debian,
			[]string{"/lib/x86_64-linux-gnu → /.cr/x86_64-linux-gnu"},
		},
		{
			"list of paths", tinyelf.File{ROData: []byte("\x00/opt:/usr/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnu/x\x00LD_LIBRARY_PATH=/lib/x86_64-linux-gnu\x00")}, debian,
			[]string{
				"/usr/lib/x86_64-linux-gnu → /.cr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu → /.cr/x86_64-linux-gnu",
				"/lib/x86_64-linux-gnu → /.cr/x86_64-linux-gnu",
			},
		},
		{
			"writable data", tinyelf.File{Data: []byte("\x00/usr/lib/x86_64-linux-gnu\x00")}, debian,
			[]string{"/usr/lib/x86_64-linux-gnu → /.cr/lib/x86_64-linux-gnu"},
		},
		{
			"not these", tinyelf.File{
				ROData: []byte("\x00/usr/lib/x86_64-linux-gnux32\x00%s/usr/lib/x86_64-linux-gnu/x\x00see /lib/x86_64-linux-gnu\x00" +
					"/usr/lib/systemd\x00/lib/modules\x00/usr/share\x00/usr/lib/debug/x86_64-linux-gnu\x00" +
					"\x00/usr/lib/x86_64-linux-gnu/\xff\xff\x00"),
				Text: []byte("\x00/usr/lib/x86_64-linux-gnu\x00"),
			}, debian, nil,
		},
		{"without end", tinyelf.File{ROData: []byte("\x00/usr/lib/x86_64-linux-gnu")}, debian, nil},
		{
			"without sections", tinyelf.File{NoSections: true, ROData: []byte("\x00/usr/lib/x86_64-linux-gnu\x00"), Data: []byte("\x00/usr/lib/x86_64-linux-gnu\x00")}, debian,
			[]string{"/usr/lib/x86_64-linux-gnu → /.cr/lib/x86_64-linux-gnu"},
		},
		{
			"RUNPATH", tinyelf.File{Needed: []string{"libx.so"}, RunPath: "/usr/lib/x86_64-linux-gnu/systemd:$ORIGIN/../lib:/opt/vendor/lib:/usr/lib/systemd:/lib64"}, debian,
			[]string{
				"/usr/lib/x86_64-linux-gnu/systemd → /.cr/lib/x86_64-linux-gnu/systemd", "/opt/vendor/lib → /.cr/----------",
				"/usr/lib/systemd → /.cr/lib/systemd", "/lib64 → /.cr/L",
			},
		},
		{
			"RPATH", tinyelf.File{Needed: []string{"libx.so"}, RPath: "/usr/lib/apt:/x"}, debian,
			[]string{"/usr/lib/apt → /.cr/lib/apt", "/x → /\x01"},
		},
		{
			"NEEDED by path", tinyelf.File{Needed: []string{"/usr/lib/x86_64-linux-gnu/libx.so"}}, debian,
			[]string{"/usr/lib/x86_64-linux-gnu → /.cr/lib/x86_64-linux-gnu"},
		},
		{
			"libc", tinyelf.File{Interp: interp, Needed: []string{"x"}, ROData: []byte("\x00/usr/lib/locale\x00/usr/lib/locale/locale-archive\x00" + interp + "\x00")},
			Rules{LibDir: libDir, Kind: LibC},
			[]string{interp + " → /.cr/ld.so", "/usr/lib/locale → /.cr/lib/locale", "/usr/lib/locale → /.cr/lib/locale", interp + " → /.cr/ld.so"},
		},
		{"locale elsewhere", tinyelf.File{ROData: []byte("\x00/usr/lib/locale\x00")}, debian, nil},
		{
			"loader", tinyelf.File{Soname: "ld.so", ROData: []byte("\x01/lib/x86_64-linux-gnu/\x00/usr/lib/x86_64-linux-gnu/\x00/lib/\x00/usr/lib/\x00" +
				"/etc/ld.so.cache\x00/etc/ld.so.preload\x00Do not use /etc/ld.so.cache\x00/lib/\x00")},
			Rules{LibDir: libDir, Kind: Loader},
			[]string{
				"/lib/x86_64-linux-gnu/ → /.cr/x86_64-linux-gnu/", "/usr/lib/x86_64-linux-gnu/ → /.cr/lib/x86_64-linux-gnu/",
				"/lib/ → /.cr/", "/usr/lib/ → /.cr/lib/", "/etc/ld.so.cache → /.cr/ld.so.cache", "/etc/ld.so.preload → /.cr/ld.so.preload",
				"/lib/ → /.cr/",
			},
		},
		{
			"loader in a static program", tinyelf.File{ROData: []byte("\x00/lib/\x00modules\x00/lib/x86_64-linux-gnu/\x00/usr/lib/x86_64-linux-gnu/\x00/lib/\x00/usr/lib/\x00/etc/ld.so.cache\x00")},
			debian,
			[]string{
				"/lib/x86_64-linux-gnu/ → /.cr/x86_64-linux-gnu/", "/usr/lib/x86_64-linux-gnu/ → /.cr/lib/x86_64-linux-gnu/",
				"/lib/ → /.cr/", "/usr/lib/ → /.cr/lib/", "/etc/ld.so.cache → /.cr/ld.so.cache",
			},
		},
		{
			"lib64", tinyelf.File{Interp: interp, Needed: []string{"x"}, ROData: []byte("\x00/usr/lib64/gconv\x00/lib64/security\x00/usr/lib/systemd\x00/lib64\x00/usr/lib64x\x00")},
			Rules{LibDir: "/usr/lib64"},
			[]string{interp + " → /.cr/ld.so", "/usr/lib64 → /.cr/lib64", "/lib64 → /.cr/L", "/lib64 → /.cr/L"},
		},
		{
			"loader of lib64", tinyelf.File{Soname: "ld.so", ROData: []byte("\x00/lib64/\x00/usr/lib64/\x00")},
			Rules{LibDir: "/usr/lib64", Kind: Loader},
			[]string{"/lib64/ → /.cr/L/", "/usr/lib64/ → /.cr/lib64/"},
		},
		{
			"lib", tinyelf.File{ROData: []byte("\x00/usr/lib/gconv/gconv-modules.cache\x00/usr/lib/security\x00/usr/lib/systemd\x00/lib\x00")},
			Rules{LibDir: "/usr/lib"},
			[]string{"/usr/lib/gconv → /.cr/lib/gconv", "/usr/lib/security → /.cr/lib/security"},
		},
		{
			"musl", tinyelf.File{Soname: "libc.musl-x86_64.so.1", ROData: []byte("\x00/lib:/usr/local/lib:/usr/lib\x00%.*s/etc/ld-musl-x86_64.path\x00")},
			Rules{LibDir: "/usr/lib", Kind: Loader},
			[]string{"/lib:/usr/local/lib:/usr/lib → /.cr:/.cr/local/lib:/.cr/lib", "/etc/ld-musl- → /.cr/ld-musl-"},
		},
		{
			"perl", tinyelf.File{Interp: interp, Needed: []string{"x"}, ROData: []byte("\x02/proc/self/exe\x00\x00/usr/local/lib/x86_64-linux-gnu/perl/5.36.0\x00/usr/lib/x86_64-linux-gnu/perl-base\x00/usr/local/lib/site_perl\x00")},
			Rules{LibDir: libDir, Kind: Perl},
			[]string{
				interp + " → /.cr/ld.so", "/proc/self/exe → /.cr/exe/perl",
				"/usr/local/lib/x86_64-linux-gnu/perl → /.cr/local/lib/x86_64-linux-gnu/perl", "/usr/lib/x86_64-linux-gnu → /.cr/lib/x86_64-linux-gnu",
			},
		},
		{
			"word", tinyelf.File{ROData: []byte("\x00amd64\x001.21.22 (amd64)\x00amd64-microcode\x00x amd64\x00")},
			Rules{LibDir: libDir, Words: []Word{{Old: "amd64", New: "armhf"}}},
			[]string{"amd64 → armhf", "amd64) → armhf)"},
		},
		{
			"shorter word", tinyelf.File{ROData: []byte("\x00amd64\x00")},
			Rules{LibDir: libDir, Words: []Word{{Old: "amd64", New: "i386"}}},
			[]string{"amd64 → i386"},
		},
		{
			"word in code", tinyelf.File{Text: []byte("\x90\xc7D$pamd6H\x89\xeaH\x89\\$`\xc6D$t4\x90")},
			Rules{LibDir: libDir, Words: []Word{{Old: "amd64", New: "armhf", InCode: true}}},
			[]string{"amd6 → armh", "4 → f"},
		},
		{
			"not a word in code", tinyelf.File{Text: []byte("\x90\xc7D$pamd6H\x89\xeaH\x89\\$`\xc6D$u4\x90")},
			Rules{LibDir: libDir, Words: []Word{{Old: "amd64", New: "armhf", InCode: true}}}, nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.file.Bytes()
			after := bytes.Clone(before)
			changes, err := Rewrite(after, tt.rules)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, rewrites(changes)); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
			checkChanges(t, before, after, changes)
		})
	}
}

// checkChanges applies the changes to the old file, which gives the new one.
func checkChanges(t *testing.T, before, after []byte, changes []Change) {
	t.Helper()
	again := bytes.Clone(before)
	for _, c := range changes {
		at := again[c.Offset:]
		if c.Number > 0 {
			var old, fresh uint64
			if _, err := fmt.Sscanf(c.Old+" "+c.New, "0x%x 0x%x", &old, &fresh); err != nil {
				t.Fatal(err)
			}
			if got := number(at[:c.Number]); got != old {
				t.Errorf("at %d stood %#x, not %#x", c.Offset, got, old)
			}
			for i := range c.Number {
				at[i] = byte(fresh >> (8 * i))
			}
			continue
		}
		if got := string(at[:len(c.Old)]); got != c.Old {
			t.Errorf("at %d stood %q, not %q", c.Offset, got, c.Old)
		}
		copy(at, c.New+strings.Repeat("\x00", max(0, len(c.Old)-len(c.New))))
	}
	if !bytes.Equal(again, after) {
		t.Error("there are changes that are not in the list")
	}
}

func number(b []byte) (n uint64) {
	for i, c := range b {
		n |= uint64(c) << (8 * i)
	}
	return n
}

func TestRewriteData(t *testing.T) {
	before := []byte("\x20\x03\x00ISO8859-1.so\x00/usr/lib/x86_64-linux-gnu/gconv/\x00EUC-JP//\x00/lib64/ld.so\x00")
	after := bytes.Clone(before)
	changes := RewriteData(after, Rules{LibDir: libDir})
	if d := cmp.Diff([]string{"/usr/lib/x86_64-linux-gnu → /.cr/lib/x86_64-linux-gnu"}, rewrites(changes)); d != "" {
		t.Errorf("changes (-want +got):\n%s", d)
	}
	checkChanges(t, before, after, changes)
}

func TestRewriteTwice(t *testing.T) {
	b := tinyelf.File{Interp: interp, Needed: []string{"x"}, RunPath: "/usr/lib/x86_64-linux-gnu/systemd:/opt/x", ROData: []byte("\x00/usr/lib/x86_64-linux-gnu\x00")}.Bytes()
	if _, err := Rewrite(b, Rules{LibDir: libDir}); err != nil {
		t.Fatal(err)
	}
	changes, err := Rewrite(b, Rules{LibDir: libDir})
	if err != nil || changes != nil {
		t.Errorf("second time: %q, %v", rewrites(changes), err)
	}
}

func TestRewriteErrors(t *testing.T) {
	inCode := tinyelf.File{Text: []byte("\xc7D$pamd6\xc6D$t4\x90")}.Bytes()
	inData := tinyelf.File{ROData: []byte("\x00amd64\x00")}.Bytes()
	tests := []struct {
		name  string
		b     []byte
		rules Rules
		want  error
	}{
		{"empty", nil, Rules{}, elfimage.ErrNotELF},
		{"script", []byte("#!/bin/sh\n"), Rules{}, elfimage.ErrNotELF},
		{"short interpreter", tinyelf.File{Interp: "/ld.so", Needed: []string{"x"}}.Bytes(), Rules{}, ErrDoesNotFit},
		{"short word before something", tinyelf.File{ROData: []byte("\x001 (amd64)\x00")}.Bytes(), Rules{Words: []Word{{Old: "amd64", New: "i386"}}}, ErrDoesNotFit},
		{"long word", inData, Rules{Words: []Word{{Old: "amd64", New: "riscv64"}}}, ErrDoesNotFit},
		{"short word in code", inCode, Rules{Words: []Word{{Old: "amd64", New: "i386", InCode: true}}}, ErrDoesNotFit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Rewrite(tt.b, tt.rules); !errors.Is(err, tt.want) {
				t.Errorf("error %v, not %v", err, tt.want)
			}
		})
	}
}

func TestWordCount(t *testing.T) {
	n := 0
	b := tinyelf.File{ROData: []byte("\x00amd64\x00v (amd64)\x00")}.Bytes()
	if _, err := Rewrite(b, Rules{Words: []Word{{Old: "amd64", New: "amd64", Count: &n}}}); err != nil || n != 2 {
		t.Errorf("%d places, %v", n, err)
	}
}

func TestHiddenDir(t *testing.T) {
	for dir, want := range map[string]string{
		"/usr/lib": "/.cr/lib", "/usr/lib/x/y": "/.cr/lib/x/y", "/lib": "/.cr", "/lib/x": "/.cr/x", "/lib64": "/.cr/L",
		"/lib64/x": "/.cr/L/x", "/usr/lib64": "/.cr/lib64", "/usr/libexec/x": "/.cr/libexec/x", "/usr/share": "",
		"/usr/libx32": "", "/etc": "", "/usr/local/lib": "",
	} {
		got, ok := HiddenDir(dir)
		if got != want || ok != (want != "") || ok && len(got) != len(dir) {
			t.Errorf("HiddenDir(%q) = %q, %v", dir, got, ok)
		}
	}
}

// TestHostPrograms rewrites the machine's own programs and lets debug/elf judge:
// nothing but the changes differs, and the interpreter is ours.
func TestHostPrograms(t *testing.T) {
	for _, name := range []string{"sh", "perl", "dpkg", "tar"} {
		name, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		after := bytes.Clone(before)
		changes, err := Rewrite(after, Rules{LibDir: libDir})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		checkChanges(t, before, after, changes)
		f, err := elf.NewFile(bytes.NewReader(after))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				b := make([]byte, p.Filesz)
				if _, err := p.ReadAt(b, 0); err != nil || !strings.HasPrefix(string(b), LoaderPath+"\x00") {
					t.Errorf("%s: interpreter %q, %v", name, b, err)
				}
			}
		}
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add(tinyelf.File{Interp: interp, Needed: []string{"libc.so.6"}, RunPath: "/usr/lib:/x:$ORIGIN", ROData: []byte("\x00/usr/lib/x86_64-linux-gnu\x00amd64\x00")}.Bytes(), 0)
	f.Add(tinyelf.File{Soname: "ld.so", ROData: []byte("\x01/lib/\x00/usr/lib/\x00/etc/ld.so.cache\x00")}.Bytes(), 1)
	f.Add(tinyelf.File{NoSections: true, Text: []byte("\xc7D$pamd6\xc6D$t4\x90"), ROData: []byte("\x00/proc/self/exe\x00")}.Bytes(), 3)
	f.Add(tinyelf.File{ROData: []byte("\x00amd64\x00x (amd64)\x00"), Pointers: []uint64{1, 7}, Room: 64}.Bytes(), 4)
	f.Fuzz(func(t *testing.T, b []byte, kind int) {
		before := bytes.Clone(b)
		rules := Rules{LibDir: libDir, Kind: Kind(kind & 3), Words: []Word{{Old: "amd64", New: "armhf", InCode: true}}}
		if kind&4 != 0 {
			rules.Words = []Word{{Old: "amd64", New: "riscv64"}, {Old: "d64", New: "d", Tail: true}}
		}
		changes, err := Rewrite(b, rules)
		if err != nil {
			return
		}
		if len(b) != len(before) {
			t.Fatal("the file has another size")
		}
		for _, c := range changes {
			if c.Number == 0 && c.Old != "" && len(c.New) > len(c.Old) {
				t.Errorf("%q does not fit over %q", c.New, c.Old)
			}
		}
		inOrder := len(changes) > 0 && changes[0].Number == 0
		for i := 1; i < len(changes); i++ {
			inOrder = inOrder && changes[i].Number == 0 && changes[i-1].Offset+int64(len(changes[i-1].Old)) <= changes[i].Offset
		}
		if inOrder { // else a hostile file has one thing in another
			checkChanges(t, before, b, changes)
		}
	})
}
