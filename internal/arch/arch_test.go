package arch

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/crossroot/crossroot/internal/elfimage"
)

func TestTableIsConsistent(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range All() {
		if a.Name == "" || a.Triplet == "" || a.Uname == "" || a.Machine == 0 || len(a.Loaders) == 0 || seen[a.Name] {
			t.Errorf("row %+v", a)
		}
		seen[a.Name] = true
		if a.FlagsValue&^a.FlagsMask != 0 {
			t.Errorf("%s: flags outside the mask", a)
		}
		if b, ok := Lookup(a.Name); !ok || b.Name != a.Name {
			t.Errorf("Lookup(%s) = %s", a, b)
		}
		h := elfimage.Header{Class: a.Class, Data: a.Order, Machine: a.Machine, Flags: a.FlagsValue}
		if a.Name == "armel" {
			h.Flags = 0x05000200
		}
		if b, ok := Identify(h); !ok || b.Name != a.Name {
			t.Errorf("Identify(%s) = %s", a, b)
		}
		for _, host := range append(a.native, a.maybe...) {
			if b, ok := Lookup(host); !ok || b.Name != host {
				t.Errorf("%s: no host %s", a, host)
			}
		}
	}
}

func TestLookup(t *testing.T) {
	for name, want := range map[string]string{
		"arm": "armhf", "armv7l": "armhf", "armv6l": "armhf", "aarch64": "arm64", "386": "i386", "i686": "i386",
		"x86_64": "amd64", "mipsle": "mipsel", "mips": "mips", "ppc64le": "ppc64el", "arm-linux-gnueabi": "armel",
		"mips64el-linux-gnuabi64": "mips64el", "mipsel_24kc": "mipsel", "arm_cortex-a9": "armel",
		"arm_cortex-a9_neon": "armhf", "ppc": "powerpc", "parisc": "hppa", "openrisc": "or1k", "": "", "z80": "",
	} {
		if a, ok := Lookup(name); a.Name != want || ok != (want != "") {
			t.Errorf("Lookup(%q) = %q, want %q", name, a, want)
		}
	}
	if Host().Name == "" {
		t.Error("no host")
	}
}

func TestIdentify(t *testing.T) {
	little, big := elf.ELFDATA2LSB, elf.ELFDATA2MSB
	for _, c := range []struct {
		class   elf.Class
		order   elf.Data
		machine elf.Machine
		flags   uint32
		interp  string
		want    string
	}{
		{c32, little, elf.EM_ARM, 0x05000400, "", "armhf"},
		{c32, little, elf.EM_ARM, 0x05000200, "", "armel"},
		{c32, little, elf.EM_ARM, 0x05000002, "/lib/ld-linux-armhf.so.3", "armhf"},
		{c32, little, elf.EM_ARM, 0x05000002, "/lib/ld-linux.so.3", "armel"},
		{c32, little, elf.EM_ARM, 0x05000400, "/opt/own-loader", "armhf"},
		{c32, little, elf.EM_ARM, 0x00000002, "/lib/ld-linux.so.2", "arm-oabi"},
		{c32, big, elf.EM_ARM, 0x05800200, "", "armeb"},
		{c32, little, elf.EM_X86_64, 0, "", "x32"},
		{c32, little, elf.EM_MIPS, 0x70001007, "", "mipsel"},
		{c32, big, elf.EM_MIPS, 0x60000027, "", "mipsn32"},
		{c32, big, elf.EM_MIPS, 0x90001407, "", "mipsr6"},
		{c64, little, elf.EM_MIPS, 0x80000007, "", "mips64el"},
		{c64, little, elf.EM_MIPS, 0xa0000407, "", "mips64r6el"},
		{c32, little, elf.EM_MIPS, 0xa0000427, "", "mipsn32r6el"},
		{c64, little, elf.EM_PPC64, 2, "", "ppc64el"},
		{c32, big, 0xbaab, 0, "", "microblaze"},
		{c64, little, elf.EM_NONE, 0, "", ""},
		{c64, big, elf.EM_X86_64, 0, "", ""},
	} {
		h := elfimage.Header{Class: c.class, Data: c.order, Machine: c.machine, Flags: c.flags}
		if a, ok := IdentifyProgram(h, c.interp); a.Name != c.want || ok != (c.want != "") {
			t.Errorf("%v %v %v %#x %s is %q, want %q", c.class, c.order, c.machine, c.flags, c.interp, a, c.want)
		}
	}
}

func TestNative(t *testing.T) {
	get := func(n string) Arch { a, _ := Lookup(n); return a }
	for _, c := range []struct {
		guest, host string
		runs, may   bool
	}{
		{"amd64", "amd64", true, true},
		{"i386", "amd64", true, true},
		{"x32", "amd64", false, true},
		{"amd64", "i386", false, false},
		{"armhf", "arm64", false, true},
		{"armel", "armhf", true, true},
		{"armhf", "amd64", false, false},
		{"mipsel", "mips64el", true, true},
		{"mipsr6el", "mips64el", false, false},
		{"powerpc", "ppc64el", false, false},
	} {
		guest, host := get(c.guest), get(c.host)
		if guest.RunsNativelyOn(host) != c.runs || guest.MayRunOn(host) != c.may {
			t.Errorf("%s on %s", c.guest, c.host)
		}
	}
}

// TestMagic has the essential magics as literals: offset 16 on is e_type,
// e_machine.
func TestMagic(t *testing.T) {
	tail := strings.Repeat("00", 9)
	for name, want := range map[string]struct{ magic, mask string }{
		"armhf": {"7f454c46010101" + tail + "02002800", "ffffffffffffff" + tail + "feffffff"},
		"arm64": {"7f454c46020101" + tail + "0200b700", "ffffffffffffff" + tail + "feffffff"},
		"s390x": {"7f454c46020201" + tail + "00020016", "ffffffffffffff" + tail + "fffeffff"},
		"mipsn32": {
			"7f454c46010201" + tail + "00020008" + strings.Repeat("00", 19) + "20",
			"ffffffffffffff" + tail + "fffeffff" + strings.Repeat("00", 19) + "20",
		},
		"mipsel": {
			"7f454c46010101" + tail + "02000800" + strings.Repeat("00", 20),
			"ffffffffffffff" + tail + "feffffff" + strings.Repeat("00", 16) + "20000000",
		},
	} {
		a, _ := Lookup(name)
		magic, mask := a.Magic()
		if hex.EncodeToString(magic) != want.magic || hex.EncodeToString(mask) != want.mask {
			t.Errorf("%s: %x\n%x", name, magic, mask)
		}
	}
}

// TestMagicAgainstQemu compares with what this machine's qemu would register.
func TestMagicAgainstQemu(t *testing.T) {
	files, _ := filepath.Glob("/usr/lib/binfmt.d/qemu-*.conf")
	for _, path := range files {
		line, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(fields) != 8 {
			t.Fatalf("%s: %q", path, line)
		}
		theirs := unescape(t, fields[4])
		qemu := strings.TrimPrefix(fields[1], "qemu-")
		a, ok := lookupQemu(qemu)
		if !ok {
			t.Errorf("no row for qemu-%s", qemu)
			continue
		}
		magic, mask := a.Magic()
		file := bytes.Clone(theirs)
		if qemu == "microblaze" { // qemu registers the old machine number too
			file[offMachine], file[offMachine+1] = 0, 189
		}
		if !matches(file, magic, mask) {
			t.Errorf("%s: qemu's %x, ours %x mask %x", qemu, file, magic, mask)
		}
		for _, b := range All() { // and no other row of another emulator matches it
			bm, bmask := b.Magic()
			if b.Qemu != a.Qemu && matches(file, bm, bmask) {
				t.Errorf("%s is taken for %s", qemu, b)
			}
		}
	}
}

func lookupQemu(name string) (Arch, bool) {
	for _, a := range All() {
		if a.Qemu == name {
			return a, true
		}
	}
	return Arch{}, false
}

func matches(file, magic, mask []byte) bool {
	file = append(bytes.Clone(file), make([]byte, 64)...)
	for i := range magic {
		if (file[i]^magic[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}

func unescape(t *testing.T, s string) []byte {
	s, err := strconv.Unquote(`"` + s + `"`)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(s)
}
