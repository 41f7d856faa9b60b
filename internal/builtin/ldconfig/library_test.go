package ldconfig

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/elfimage/elfmake"
	"github.com/crossroot/crossroot/internal/ldcache"
)

func TestClassify(t *testing.T) {
	const c32, c64 = elf.ELFCLASS32, elf.ELFCLASS64
	for _, c := range []struct {
		name    string
		target  elf.Machine
		class   elf.Class
		machine elf.Machine
		flags   uint32
		needed  string
		want    uint32 // 0: not a library for it
	}{
		{"armhf", elf.EM_ARM, c32, elf.EM_ARM, 0x05000400, "", 0x903},
		{"armel", elf.EM_ARM, c32, elf.EM_ARM, 0x05000200, "", 0xb03},
		{"arm unmarked", elf.EM_ARM, c32, elf.EM_ARM, 0x05000000, "", 0x003},
		{"arm old ABI", elf.EM_ARM, c32, elf.EM_ARM, 0, "", 0x001},
		{"arm64", elf.EM_AARCH64, c64, elf.EM_AARCH64, 0, "", 0xa03},
		{"arm64 on arm", elf.EM_ARM, c64, elf.EM_AARCH64, 0, "", 0xa03},
		{"riscv64", elf.EM_RISCV, c64, elf.EM_RISCV, 5, "libc.so.6", 0x1003},
		{"riscv64 without libc", elf.EM_RISCV, c64, elf.EM_RISCV, 5, "", 0x1001},
		{"riscv64 soft", elf.EM_RISCV, c64, elf.EM_RISCV, 1, "libc.so.6", 0xf03},
		{"riscv64 single", elf.EM_RISCV, c64, elf.EM_RISCV, 3, "libc.so.6", 0},
		{"riscv64 RVE", elf.EM_RISCV, c64, elf.EM_RISCV, 8, "libc.so.6", 0},
		{"amd64", elf.EM_X86_64, c64, elf.EM_X86_64, 0, "", 0x303},
		{"i386 on amd64", elf.EM_X86_64, c32, elf.EM_386, 0, "libm.so.6", 0x003},
		{"i386 without libc", elf.EM_386, c32, elf.EM_386, 0, "", 0x001},
		{"x32", elf.EM_X86_64, c32, elf.EM_X86_64, 0, "", 0x803},
		{"mipsel", elf.EM_MIPS, c32, elf.EM_MIPS, 0x70001007, "libc.so.6", 0x003},
		{"mips n32", elf.EM_MIPS, c32, elf.EM_MIPS, 0x20, "", 0x603},
		{"mips n64", elf.EM_MIPS, c64, elf.EM_MIPS, 0, "", 0x703},
		{"mips o32 nan2008", elf.EM_MIPS, c32, elf.EM_MIPS, 0x400, "", 0xc03},
		{"mips n32 nan2008", elf.EM_MIPS, c32, elf.EM_MIPS, 0x420, "", 0xd03},
		{"mips n64 nan2008", elf.EM_MIPS, c64, elf.EM_MIPS, 0x400, "", 0xe03},
		{"ppc64", elf.EM_PPC64, c64, elf.EM_PPC64, 2, "", 0x503},
		{"powerpc", elf.EM_PPC, c32, elf.EM_PPC, 0, "libc.so.6", 0x003},
		{"s390x", elf.EM_S390, c64, elf.EM_S390, 0, "", 0x403},
		{"sparc64", elf.EM_SPARCV9, c64, elf.EM_SPARCV9, 0, "", 0x103},
		{"loong64", elf.EM_LOONGARCH, c64, elf.EM_LOONGARCH, 0x43, "libc.so.6", 0x1203},
		{"loong64 soft", elf.EM_LOONGARCH, c64, elf.EM_LOONGARCH, 0x1, "libc.so.6", 0x1103},
		{"alpha", elf.EM_ALPHA, c64, elf.EM_ALPHA, 0, "libc.so.6.1", 0x003},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := elfmake.File{Class: c.class, Order: binary.LittleEndian, Machine: c.machine, Flags: c.flags, Soname: "libx.so.1"}
			if c.needed != "" {
				f.Needed = []string{c.needed}
			}
			b := f.Bytes()
			m, err := elfimage.Open(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			lib, ok := facts{machine: c.target, minor: 36, legacy: true}.classify(m)
			if ok != (c.want != 0) || ok && lib.flags != c.want {
				t.Errorf("flags %#x %v, want %#x", lib.flags, ok, c.want)
			}
			lib, ok = facts{machine: c.target, minor: 37}.classify(m)
			if ok != (c.want != 0) || ok && lib.flags&ldcache.TypeMask != ldcache.TypeLibc6 {
				t.Errorf("2.37: flags %#x %v", lib.flags, ok)
			}
		})
	}
}

func TestISALevel(t *testing.T) {
	b := elfmake.File{Class: elf.ELFCLASS64, Order: binary.LittleEndian, Machine: elf.EM_X86_64}.Bytes()
	m, err := elfimage.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		desc string
		want uint32
	}{
		{"", 0},
		{"\x02\x80\x00\xc0\x04\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00", 2},
		{"\x02\x00\x00\xc0\x04\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x02\x80\x00\xc0\x04\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00", 3},
		{"\x02\x80\x00\xc0\xff\xff\xff\xff\x07\x00\x00\x00\x00\x00\x00\x00", 0},
		{"\x02\x80\x00\xc0\x04\x00\x00\x00", 0},
		{"\x03\x80\x00\xc0\x00\x00\x00\x00\x02\x80\x00\xc0\x04\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00", 0},
	} {
		if got := isaLevelOf([]byte(c.desc), 8, m); got != c.want {
			t.Errorf("%q: %d, want %d", c.desc, got, c.want)
		}
	}
}

func TestHwcap(t *testing.T) {
	f := facts{machine: elf.EM_ARM, legacy: true}
	for dir, want := range map[string]uint64{
		"/usr/lib": 0, "/usr/lib/neon": 1 << 12, "/usr/lib/neon/vfp": 1<<12 | 1<<6, "/lib/tls": 1 << 15, "/lib/tls/x": 0,
	} {
		if got := f.hwcap(dir); got != want {
			t.Errorf("%s: %#x, want %#x", dir, got, want)
		}
	}
	if got := (facts{machine: elf.EM_386, legacy: true}).hwcap("/lib/tls/i686/sse2"); got != 1<<63|1<<49|1 {
		t.Errorf("i386: %#x", got)
	}
	if !f.searched("neon") || f.searched("thumb") || !f.searched("tls") || (facts{machine: elf.EM_ARM}).searched("neon") {
		t.Error("searched")
	}
}
