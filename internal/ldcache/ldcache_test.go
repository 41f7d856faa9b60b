package ldcache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompareNames(t *testing.T) {
	ascending := []string{
		"", "ld-linux.so.2", "libA.so", "liba.so", "liba.so.1", "liba.so.1.2", "liba.so.1.10", "liba.so.2", "liba.so.10",
		"libab.so", "liba1.so", "liba02.so", "liba10.so",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := CompareNames(a, b); got != want {
				t.Errorf("CompareNames(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
	if CompareNames("liba.so.01", "liba.so.1") != 0 {
		t.Error("leading zeros count")
	}
}

func entries() []Entry {
	return []Entry{
		{Name: "libc.so.6", Path: "/lib/libc.so.6", Flags: TypeLibc6 | ABIX8664},
		{Name: "libz.so.1", Path: "/usr/lib/glibc-hwcaps/x86-64-v2/libz.so.1.2", Flags: TypeLibc6 | ABIX8664, Subdir: "x86-64-v2", ISALevel: 3},
		{Name: "libz.so.1", Path: "/usr/lib/libz.so.1", Flags: TypeLibc6 | ABIX8664},
		{Name: "libz.so.1", Path: "/usr/lib/glibc-hwcaps/x86-64-v3/libz.so.1.3", Flags: TypeLibc6 | ABIX8664, Subdir: "x86-64-v3"},
		{Name: "liba.so.1", Path: "/usr/lib/neon/liba.so.1", Flags: TypeLibc6, Hwcap: 1 << 12},
		{Name: "liba.so.1", Path: "/usr/lib/liba.so.1", Flags: TypeLibc6},
		{Name: "liba.so.1", Path: "/usr/lib/neon/vfp/liba.so.1", Flags: TypeLibc6, Hwcap: 1<<12 | 1<<6},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, format := range []Format{New, Compat, Old} {
			for _, classic := range []bool{false, true} {
				t.Run(fmt.Sprint(order, format, classic), func(t *testing.T) {
					roundTrip(t, &Cache{Order: order, Format: format, Classic: classic, Generator: "ldconfig of a test", Entries: entries()})
				})
			}
		}
	}
	roundTrip(t, &Cache{Order: binary.LittleEndian, Generator: "ldconfig without libraries"})
}

func roundTrip(t *testing.T, c *Cache) {
	t.Helper()
	if c.Classic || c.Format == Old {
		c.Entries = slices.DeleteFunc(c.Entries, func(e Entry) bool { return e.Subdir != "" || c.Format == Old && e.Hwcap != 0 })
		c.Generator, c.Classic = "", true
	}
	c.Unstated = c.Format == Old || c.Classic && c.Format == Compat
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	want := *c
	want.Entries = sorted(c.Entries)
	if d := cmp.Diff(want.Entries, got.Entries); d != "" && len(want.Entries) > 0 {
		t.Error(d)
	}
	if got.Order.String() != c.Order.String() || got.Format != c.Format || got.Generator != c.Generator || got.Classic != c.Classic || got.Unstated != c.Unstated {
		t.Errorf("got %v %v %q %v %v", got.Order, got.Format, got.Generator, got.Classic, got.Unstated)
	}
	again, err := got.Encode()
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("encoded again it differs: %v", err)
	}
}

func TestOrderOfEntries(t *testing.T) {
	var got []string
	for _, e := range sorted(entries()) {
		got = append(got, e.Path)
	}
	want := []string{
		"/usr/lib/glibc-hwcaps/x86-64-v2/libz.so.1.2", "/usr/lib/glibc-hwcaps/x86-64-v3/libz.so.1.3", "/usr/lib/libz.so.1",
		"/lib/libc.so.6", "/usr/lib/neon/vfp/liba.so.1", "/usr/lib/neon/liba.so.1", "/usr/lib/liba.so.1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestKnownBytes has one whole small file, as ldconfig of glibc 2.36 for a
// little-endian CPU lays it out.
func TestKnownBytes(t *testing.T) {
	c := Cache{Order: binary.LittleEndian, Generator: "G", Entries: []Entry{{Name: "libx.so.1", Path: "/lib/libx.so.1", Flags: 0x903}}}
	got, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := "glibc-ld.so.cache1.1" + "\x01\x00\x00\x00" + "\x0f\x00\x00\x00" + "\x02\x00\x00\x00" + "\x58\x00\x00\x00" + strings.Repeat("\x00", 12) +
		"\x03\x09\x00\x00" + "\x4d\x00\x00\x00" + "\x48\x00\x00\x00" + strings.Repeat("\x00", 12) +
		"/lib/libx.so.1\x00" + "\x00" +
		"\x74\x21\xa4\xea" + "\x01\x00\x00\x00" + strings.Repeat("\x00", 8) + "\x70\x00\x00\x00" + "\x01\x00\x00\x00" + "G"
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for _, e := range []Entry{{Name: "a\x00b", Path: "/a"}, {Name: "a", Path: "/a", Subdir: "x", ISALevel: 1024}} {
		if _, err := (&Cache{Order: binary.LittleEndian, Entries: []Entry{e}}).Encode(); err == nil {
			t.Errorf("%+v was encoded", e)
		}
	}
}

// TestOwnCache reads this machine's cache and writes it again.
func TestOwnCache(t *testing.T) {
	b, err := os.ReadFile("/etc/ld.so.cache")
	if errors.Is(err, os.ErrNotExist) {
		return // not a glibc machine
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Encode()
	if err != nil || !bytes.Equal(got, b) {
		t.Errorf("%d entries: written again it differs (%d bytes, was %d): %v", len(c.Entries), len(got), len(b), err)
	}
}

func FuzzParse(f *testing.F) {
	for _, format := range []Format{New, Compat, Old} {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			b, err := (&Cache{Order: order, Format: format, Generator: "G", Entries: entries()}).Encode()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("error %v", err)
			}
			return
		}
		out, err := c.Encode()
		if err != nil {
			return
		}
		if c.Format == Old && slices.ContainsFunc(c.Entries, func(e Entry) bool { return e.Hwcap != 0 }) {
			return
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		if len(again.Entries) != len(c.Entries) {
			t.Errorf("%d entries became %d", len(c.Entries), len(again.Entries))
		}
	})
}
