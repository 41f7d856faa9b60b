package dlshim

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/crossroot/crossroot/internal/elfimage"
)

// What the linker sees is what was meant.
func TestBuild(t *testing.T) {
	for m := range machines {
		b, err := Build(m, "libm.so.6")
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != m || f.Type != elf.ET_DYN {
			t.Errorf("%s: a %s for %s", m, f.Type, f.Machine)
		}
		for _, p := range f.Progs {
			if p.Off+p.Filesz > uint64(len(b)) || p.Type == elf.PT_LOAD && p.Vaddr%page != p.Off%page {
				t.Errorf("%s: segment %+v", m, p.ProgHeader)
			}
		}
		code := machines[m].code
		at := bytes.Index(b, code[:len(code)-8])
		if at < 0 {
			t.Fatalf("%s: no code", m)
		}
		if !bytes.Contains(b[at:], []byte(Prefix+"\x00")) {
			t.Errorf("%s: the code puts another text before a path", m)
		}
		// The pointer that the distance leads to is the last thing of the writable segment.
		distance := binary.LittleEndian.Uint64(b[at+len(code)-8:])
		last := f.Progs[1]
		if got, want := uint64(at+len(code)-8)+distance, last.Vaddr+last.Memsz-8; got != want {
			t.Errorf("%s: the distance leads to %#x, not %#x", m, got, want)
		}
	}
	if _, err := Build(elf.EM_RISCV, "libm.so.6"); err == nil {
		t.Error("a shim for a CPU without code")
	}
}

// A loader finds the library that is needed in its dynamic section.
func TestNeeded(t *testing.T) {
	b, err := Build(elf.EM_X86_64, "libexample.so.1")
	if err != nil {
		t.Fatal(err)
	}
	image, err := elfimage.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if got := image.Needed(); !slices.Equal(got, []string{"libexample.so.1"}) {
		t.Errorf("needs %q", got)
	}
	entries, err := image.DynamicEntries()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []elf.DynTag{elf.DT_HASH, elf.DT_SYMTAB, elf.DT_STRSZ, elf.DT_SYMENT, elf.DT_RELA, elf.DT_RELASZ, elf.DT_RELAENT} {
		if !slices.ContainsFunc(entries, func(e elfimage.DynamicEntry) bool { return e.Tag == want }) {
			t.Errorf("no %s", want)
		}
	}
}
