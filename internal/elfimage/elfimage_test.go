package elfimage

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/elfimage/elfmake"
)

var abiNote = []byte("\x04\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00GNU\x00\x00\x00\x00\x00\x03\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00" +
	"\x04\x00\x00\x00\x04\x00\x00\x00\x03\x00\x00\x00GNU\x00\xde\xad\xbe\xef")

func samples() map[string]elfmake.File {
	base := elfmake.File{
		Interp: "/lib/ld.so.1", Needed: []string{"libc.so.6", "libm.so.6"}, Soname: "libx.so.1",
		RunPath: "/opt/lib", Rodata: []byte("\x00\x01ab\x00abc\x00\x02version 1.2\n\x00\x00no end"),
	}
	all := map[string]elfmake.File{}
	for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			for _, strip := range []bool{false, true} {
				s := base
				s.Class, s.Order, s.Strip, s.Machine, s.Flags = class, order, strip, elf.EM_MIPS, 0x70001007
				if order == binary.LittleEndian {
					s.Note = abiNote
				}
				all[fmt.Sprintf("%v %v strip=%v", class, order, strip)] = s
			}
		}
	}
	return all
}

func TestOpen(t *testing.T) {
	for name, s := range samples() {
		t.Run(name, func(t *testing.T) {
			b := s.Bytes()
			m, err := Open(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			if m.Class != s.Class || m.Machine != s.Machine || m.Flags != s.Flags || m.Type != elf.ET_DYN || m.Entry != 0x10000 {
				t.Errorf("header: %+v", m.Header)
			}
			if m.Interp() != s.Interp || m.Soname() != s.Soname || m.RunPath() != s.RunPath || m.RPath() != "" || !m.Dynamic() {
				t.Errorf("interp %q soname %q runpath %q", m.Interp(), m.Soname(), m.RunPath())
			}
			if d := cmp.Diff(s.Needed, m.Needed()); d != "" {
				t.Error(d)
			}
			abi, ok := m.ABI()
			if ok != (s.Note != nil) || ok && abi.String() != "Linux 3.2.0" {
				t.Errorf("ABI %v %v", abi, ok)
			}
			if ok && m.BuildID() != "deadbeef" {
				t.Errorf("build id %q", m.BuildID())
			}
			var got []string
			if err := m.Strings(func(off int64, s string) bool {
				if string(b[off:off+int64(len(s))]) != s || b[off+int64(len(s))] != 0 {
					t.Errorf("%q is not at %d", s, off)
				}
				got = append(got, s)
				return true
			}); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"libc.so.6", "/opt/lib", "abc", "version 1.2\n"} {
				if !slices.Contains(got, want) {
					t.Errorf("strings %q lack %q", got, want)
				}
			}
			if slices.Contains(got, "ab") || !s.Strip && slices.Contains(got, "no end") {
				t.Errorf("strings %q have too much", got)
			}
		})
	}
}

func TestStringsAcrossChunks(t *testing.T) {
	long := strings.Repeat("x", maxText)
	ro := append(bytes.Repeat([]byte{1}, textChunk-10), "\x00across the border\x00"+long+"\x00"+long+"y\x00end"...)
	ro = append(ro, 0)
	s := samples()["ELFCLASS64 LittleEndian strip=false"]
	s.Rodata = ro
	b := s.Bytes()
	m, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := m.Strings(func(_ int64, s string) bool { got = append(got, s); return true }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"across the border", long, "end"}; !slices.Equal(got[len(got)-3:], want) {
		t.Errorf("got %d strings", len(got))
	}
	stopped := 0
	if err := m.Strings(func(int64, string) bool { stopped++; return false }); err != nil || stopped != 1 {
		t.Errorf("stopped after %d: %v", stopped, err)
	}
}

func TestMalformed(t *testing.T) {
	good := samples()["ELFCLASS64 LittleEndian strip=false"].Bytes()
	le := binary.LittleEndian
	for name, change := range map[string]func(b []byte) []byte{
		"empty":                  func([]byte) []byte { return nil },
		"script":                 func([]byte) []byte { return []byte("#!/bin/sh\n") },
		"magic only":             func(b []byte) []byte { return b[:16] },
		"class":                  func(b []byte) []byte { b[4] = 3; return b },
		"byte order":             func(b []byte) []byte { b[5] = 0; return b },
		"version":                func(b []byte) []byte { b[6] = 0; return b },
		"short header":           func(b []byte) []byte { return b[:60] },
		"program headers 2^63":   func(b []byte) []byte { le.PutUint64(b[32:], 1<<63); return b },
		"65535 program headers":  func(b []byte) []byte { le.PutUint16(b[56:], 65535); return b },
		"program header size":    func(b []byte) []byte { le.PutUint16(b[54:], 32); return b },
		"interpreter at 2^63":    func(b []byte) []byte { le.PutUint64(b[64+2*56+8:], 1<<63); return b },
		"interpreter of 4 GiB":   func(b []byte) []byte { le.PutUint64(b[64+2*56+32:], 1<<32); return b },
		"interpreter open ended": func(b []byte) []byte { le.PutUint64(b[64+2*56+32:], 3); return b },
		"dynamic section past":   func(b []byte) []byte { le.PutUint64(b[64+56+8:], uint64(len(b)-4)); return b },
		"nothing loaded":         func(b []byte) []byte { le.PutUint32(b[64:], 0); return b },
	} {
		t.Run(name, func(t *testing.T) {
			b := change(bytes.Clone(good))
			if _, err := Open(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrNotELF) {
				t.Errorf("error %v", err)
			}
		})
	}
	b := bytes.Clone(good)
	le.PutUint16(b[60:], 0)
	le.PutUint64(b[le.Uint64(b[40:])+32:], 1<<26) // section 0 says: 2^26 sections
	m, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Sections(); !errors.Is(err, ErrMalformed) {
		t.Errorf("4 GiB of sections: %v", err)
	}
}

// failing gives an input/output error behind the header.
type failing struct{ io.ReaderAt }

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	if off > 0 {
		return 0, os.ErrPermission
	}
	return f.ReaderAt.ReadAt(b, off)
}

func TestReadErrorIsNotMalformed(t *testing.T) {
	b := samples()["ELFCLASS64 LittleEndian strip=false"].Bytes()
	_, err := Open(failing{bytes.NewReader(b)}, int64(len(b)))
	if !errors.Is(err, os.ErrPermission) || errors.Is(err, ErrNotELF) {
		t.Errorf("error %v", err)
	}
}

// TestAgainstStandardLibrary reads this machine's programs a second way.
func TestAgainstStandardLibrary(t *testing.T) {
	files, _ := filepath.Glob("/usr/bin/[a-f]*")
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(files, own) {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		compareWithStandardLibrary(t, f)
		f.Close()
	}
}

func compareWithStandardLibrary(t *testing.T, f *os.File) {
	t.Helper()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	want, wantErr := elf.NewFile(f)
	m, err := Open(f, info.Size())
	if (err == nil) != (wantErr == nil) {
		t.Errorf("%s: %v; debug/elf: %v", f.Name(), err, wantErr)
	}
	if err != nil || wantErr != nil {
		return
	}
	needed, _ := want.DynString(elf.DT_NEEDED)
	if !slices.Equal(needed, m.Needed()) {
		t.Errorf("%s: needed %q, want %q", f.Name(), m.Needed(), needed)
	}
	sections, err := m.Sections()
	if err != nil || len(sections) != len(want.Sections) {
		t.Fatalf("%s: %d sections, want %d: %v", f.Name(), len(sections), len(want.Sections), err)
	}
	for i, s := range want.Sections {
		if g := sections[i]; g.Name != s.Name || g.Offset != s.Offset || g.Size != s.FileSize && s.Type != elf.SHT_NOBITS || g.Addr != s.Addr {
			t.Errorf("%s: section %d: %+v, want %+v", f.Name(), i, g, s.SectionHeader)
		}
	}
	for i, p := range want.Progs {
		if g := m.Segments[i]; g.Type != p.Type || g.Offset != p.Off || g.Filesz != p.Filesz || g.Vaddr != p.Vaddr || g.Flags != p.Flags {
			t.Errorf("%s: segment %d: %+v, want %+v", f.Name(), i, g, p.ProgHeader)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, ErrNotELF) {
				t.Errorf("error %v", err)
			}
			return
		}
		if _, err := m.Sections(); err != nil && !errors.Is(err, ErrNotELF) {
			t.Errorf("sections: %v", err)
		}
		m.ABI()
		m.BuildID()
		if err := m.Strings(func(off int64, s string) bool {
			if string(b[off:off+int64(len(s))]) != s {
				t.Errorf("%q is not at %d", s, off)
			}
			return true
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestAllocation checks that a file full of lies costs less than 1 MiB.
func TestAllocation(t *testing.T) {
	b := bytes.Repeat([]byte{1, 0, 0, 0, 'a', 'b'}, 2<<20)
	copy(b, samples()["ELFCLASS64 LittleEndian strip=false"].Bytes())
	le := binary.LittleEndian
	le.PutUint16(b[56:], 65536/56)
	le.PutUint64(b[64+56+32:], maxDynamic)
	le.PutUint16(b[60:], 4096)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if m, err := Open(bytes.NewReader(b), int64(len(b))); err == nil {
		m.Sections()
		m.ABI()
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes", n)
	}
}
