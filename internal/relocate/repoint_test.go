package relocate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/relocate/tinyelf"
)

// lea points the instruction whose 4 bytes of distance are XXXX at the string.
func lea(t *testing.T, b []byte, to string) []byte {
	t.Helper()
	at, text := bytes.Index(b, []byte("XXXX")), bytes.Index(b, []byte(to))
	if at < 0 || text < 0 {
		t.Fatalf("no instruction, or no %q", to)
	}
	binary.LittleEndian.PutUint32(b[at:], uint32(text-(at+4)))
	return b
}

// text is the string that the 8 bytes at off point to.
func text(b []byte, at uint64) string {
	s, _, _ := bytes.Cut(b[at-tinyelf.Address:], []byte{0})
	return string(s)
}

func TestRepoint(t *testing.T) {
	riscv := Rules{Words: []Word{{Old: "amd64", New: "riscv64"}}}
	rodata := []byte("\x00amd64\x001.21 (amd64)\x00")
	t.Run("pointer", func(t *testing.T) {
		b := tinyelf.File{ROData: rodata[:7], Pointers: []uint64{1, 0}, Room: 32}.Bytes()
		before := bytes.Clone(b)
		changes, err := Rewrite(b, riscv)
		if err != nil {
			t.Fatal(err)
		}
		checkChanges(t, before, b, changes)
		image, err := elfimage.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		data := b[image.Segments[2].Offset:]
		if got := text(b, binary.LittleEndian.Uint64(data)); got != "riscv64" {
			t.Errorf("the pointer leads to %q", got)
		}
		if got := text(b, binary.LittleEndian.Uint64(data[8:])); got != "" {
			t.Errorf("the other pointer leads to %q", got)
		}
		if s := image.Segments[0]; s.Filesz != s.Memsz || s.Filesz < uint64(bytes.Index(b, []byte("riscv64"))+8) {
			t.Errorf("the text is outside of %+v", s)
		}
	})
	t.Run("instruction", func(t *testing.T) {
		file := tinyelf.File{ROData: rodata[7:], Text: []byte("\x90\x48\x8d\x35XXXX\x90\x8d"), Room: 32}
		b := lea(t, file.Bytes(), "1.21")
		before := bytes.Clone(b)
		changes, err := Rewrite(b, riscv)
		if err != nil {
			t.Fatal(err)
		}
		checkChanges(t, before, b, changes)
		at := bytes.Index(b, []byte{0x48, 0x8d, 0x35}) + 3
		distance := int(int32(binary.LittleEndian.Uint32(b[at:])))
		if got := text(b, uint64(at+4+distance+tinyelf.Address)); got != "1.21 (riscv64)" {
			t.Errorf("the instruction leads to %q", got)
		}
	})
	t.Run("fixed address", func(t *testing.T) {
		b := tinyelf.File{ROData: rodata[:7], Text: []byte("\x90\xbfXXXX\xbe\x01\x00\x01\x00"), Data: []byte("PPPPPPPP"), Room: 32}.Bytes()
		at := uint64(tinyelf.Address + bytes.Index(b, rodata[1:7]))
		mov, pointer := bytes.Index(b, []byte("XXXX")), bytes.Index(b, []byte("PPPPPPPP"))
		binary.LittleEndian.PutUint32(b[mov:], uint32(at))
		binary.LittleEndian.PutUint64(b[pointer:], at)
		before := bytes.Clone(b)
		changes, err := Rewrite(b, riscv)
		if err != nil {
			t.Fatal(err)
		}
		checkChanges(t, before, b, changes)
		if got := text(b, uint64(binary.LittleEndian.Uint32(b[mov:]))); got != "riscv64" {
			t.Errorf("the instruction leads to %q", got)
		}
		if got := text(b, binary.LittleEndian.Uint64(b[pointer:])); got != "riscv64" {
			t.Errorf("the pointer leads to %q", got)
		}
		if !bytes.Contains(b, []byte("\xbe\x01\x00\x01\x00")) {
			t.Error("another instruction was changed")
		}
	})
	t.Run("module", func(t *testing.T) {
		b := tinyelf.File{ROData: []byte("\x00.cpython-311-amd64.so\x00x-amd64.so\x00"), Pointers: []uint64{1, 23}, Room: 64}.Bytes()
		count := 0
		if _, err := Rewrite(b, Rules{Words: []Word{{Old: "amd64", New: "riscv64", Module: true, Count: &count}}}); err != nil || count != 1 {
			t.Fatalf("%d places, %v", count, err)
		}
		image, err := elfimage.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		data := b[image.Segments[2].Offset:]
		if a, c := text(b, binary.LittleEndian.Uint64(data)), text(b, binary.LittleEndian.Uint64(data[8:])); a != ".cpython-311-riscv64.so" || c != "x-amd64.so" {
			t.Errorf("%q and %q", a, c)
		}
	})
	t.Run("tails", func(t *testing.T) {
		file := tinyelf.File{ROData: []byte("\x00x86_64-pc-linux-gnu\x00"), Pointers: []uint64{1, 11}, Room: 64}
		b := file.Bytes()
		count := 0
		_, err := Rewrite(b, Rules{Words: []Word{
			{Old: "x86_64-pc-linux-gnu", New: "arm-x-linux-gnueabihf", Tail: true, Count: &count},
			{Old: "linux-gnu", New: "linux-gnueabihf", Tail: true, Count: &count},
			{Old: "x86_64", New: "arm", Tail: true, Count: &count},
		}})
		if err != nil || count != 2 {
			t.Fatalf("%d places, %v", count, err)
		}
		image, err := elfimage.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		data := b[image.Segments[2].Offset:]
		if a, c := text(b, binary.LittleEndian.Uint64(data)), text(b, binary.LittleEndian.Uint64(data[8:])); a != "arm-x-linux-gnueabihf" || c != "linux-gnueabihf" {
			t.Errorf("%q and %q", a, c)
		}
	})
	for name, b := range map[string][]byte{
		"no room":      tinyelf.File{ROData: rodata[:7], Pointers: []uint64{1}}.Bytes(),
		"no reference": tinyelf.File{ROData: rodata[:7], Pointers: []uint64{2}, Room: 32}.Bytes(),
		"other CPU":    tinyelf.File{Machine: 243, ROData: rodata[:7], Pointers: []uint64{1}, Room: 32}.Bytes(),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Rewrite(b, riscv); !errors.Is(err, ErrDoesNotFit) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestRELR reads the example of the generic ABI: an address, then a bitmap.
func TestRELR(t *testing.T) {
	e := editor{b: binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 0x1000), 0b1011)}
	var got []uint64
	e.relr(extent{0, 16}, func(at uint64) { got = append(got, at) })
	if len(got) != 3 || got[0] != 0x1000 || got[1] != 0x1008 || got[2] != 0x1018 {
		t.Errorf("%#x", got)
	}
}
