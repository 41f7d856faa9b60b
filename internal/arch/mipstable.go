package arch

import "debug/elf"

// Values of e_flags (binutils, include/elf/mips.h).
const (
	mipsABI2 = 0x00000020 // EF_MIPS_ABI2: n32
	mipsArch = 0xf0000000 // EF_MIPS_ARCH
	mips32R6 = 0x90000000
	mips64R6 = 0xa0000000

	// Which CPU an older release or a 2008 NaN needs is seen by qemu itself,
	// in e_flags; release 6 is not seen by all versions.
	cpu32R6 = "mips32r6-generic"
	cpu64R6 = "I6400"
)

var (
	loadersO32 = []string{
		ldClassic, "/lib/ld-linux-mipsn8.so.1", "/lib/ld-musl-mips.so.1", "/lib/ld-musl-mips-sf.so.1",
		"/lib/ld-musl-mipsel.so.1", "/lib/ld-musl-mipsel-sf.so.1", ldUclibc, "/lib/ld-uClibc-mipsn8.so.0",
		"/lib/ld-musl-mipsr6.so.1", "/lib/ld-musl-mipsr6el.so.1",
	}
	loadersN32 = []string{
		"/lib32/ld.so.1", "/lib32/ld-linux-mipsn8.so.1", "/lib/ld-musl-mipsn32.so.1", "/lib/ld-musl-mipsn32el.so.1",
		"/lib32/ld-uClibc.so.0",
	}
	loadersN64 = []string{
		"/lib64/ld.so.1", "/lib64/ld-linux-mipsn8.so.1", "/lib/ld-musl-mips64.so.1", "/lib/ld-musl-mips64el.so.1",
		"/lib/ld-musl-mips64-sf.so.1", "/lib/ld-musl-mips64el-sf.so.1", "/lib/ld64-uClibc.so.0",
		"/lib/ld-musl-mips64r6.so.1", "/lib/ld-musl-mips64r6el.so.1",
	}
)

// mips is a family of its own: two byte orders, three ABIs (o32, n32, n64),
// and release 6, which is another instruction set.
var mips = []Arch{
	{
		Name: "mipsr6el", Debian: "mipsr6el", Triplet: "mipsisa32r6el-linux-gnu", Qemu: "mipsel", Uname: "mips",
		Machine: elf.EM_MIPS, Class: c32, Order: little, FlagsMask: mipsABI2 | mipsArch, FlagsValue: mips32R6,
		Loaders: loadersO32, QemuCPU: cpu32R6, native: []string{"mips64r6el"},
	},
	{
		Name: "mipsr6", Debian: "mipsr6", Triplet: "mipsisa32r6-linux-gnu", Qemu: "mips", Uname: "mips",
		Machine: elf.EM_MIPS, Class: c32, Order: big, FlagsMask: mipsABI2 | mipsArch, FlagsValue: mips32R6,
		Loaders: loadersO32, QemuCPU: cpu32R6, native: []string{"mips64r6"},
	},
	{
		Name: "mipsn32r6el", Debian: "mipsn32r6el", Triplet: "mipsisa64r6el-linux-gnuabin32", Qemu: "mipsn32el", Uname: "mips64",
		Machine: elf.EM_MIPS, Class: c32, Order: little, FlagsMask: mipsABI2 | mipsArch, FlagsValue: mipsABI2 | mips64R6,
		Loaders: loadersN32, QemuCPU: cpu64R6, native: []string{"mips64r6el"},
	},
	{
		Name: "mipsn32r6", Debian: "mipsn32r6", Triplet: "mipsisa64r6-linux-gnuabin32", Qemu: "mipsn32", Uname: "mips64",
		Machine: elf.EM_MIPS, Class: c32, Order: big, FlagsMask: mipsABI2 | mipsArch, FlagsValue: mipsABI2 | mips64R6,
		Loaders: loadersN32, QemuCPU: cpu64R6, native: []string{"mips64r6"},
	},
	{
		Name: "mips64r6el", Debian: "mips64r6el", Triplet: "mipsisa64r6el-linux-gnuabi64", Qemu: "mips64el", Uname: "mips64",
		Machine: elf.EM_MIPS, Class: c64, Order: little, FlagsMask: mipsArch, FlagsValue: mips64R6,
		Loaders: loadersN64, QemuCPU: cpu64R6,
	},
	{
		Name: "mips64r6", Debian: "mips64r6", Triplet: "mipsisa64r6-linux-gnuabi64", Qemu: "mips64", Uname: "mips64",
		Machine: elf.EM_MIPS, Class: c64, Order: big, FlagsMask: mipsArch, FlagsValue: mips64R6,
		Loaders: loadersN64, QemuCPU: cpu64R6,
	},
	{
		Name: "mipsn32el", Debian: "mipsn32el", Triplet: "mips64el-linux-gnuabin32", Qemu: "mipsn32el", Uname: "mips64",
		Machine: elf.EM_MIPS, Class: c32, Order: little, FlagsMask: mipsABI2, FlagsValue: mipsABI2,
		Loaders: loadersN32, native: []string{"mips64el"},
	},
	{
		Name: "mipsn32", Debian: "mipsn32", Triplet: "mips64-linux-gnuabin32", Qemu: "mipsn32", Uname: "mips64",
		Machine: elf.EM_MIPS, Class: c32, Order: big, FlagsMask: mipsABI2, FlagsValue: mipsABI2,
		Loaders: loadersN32, native: []string{"mips64"},
	},
	{
		Name: "mipsel", Debian: "mipsel", Triplet: "mipsel-linux-gnu", Go: "mipsle", Qemu: "mipsel", Uname: "mips",
		Machine: elf.EM_MIPS, Class: c32, Order: little, FlagsMask: mipsABI2, FlagsValue: 0,
		Loaders: loadersO32, native: []string{"mips64el"},
		OpenWrt: []string{"mipsel_24kc", "mipsel_24kc_24kf", "mipsel_74kc", "mipsel_mips32"},
	},
	{
		Name: "mips", Debian: "mips", Triplet: "mips-linux-gnu", Go: "mips", Qemu: "mips", Uname: "mips",
		Machine: elf.EM_MIPS, Class: c32, Order: big, FlagsMask: mipsABI2, FlagsValue: 0,
		Loaders: loadersO32, native: []string{"mips64"},
		OpenWrt: []string{"mips_24kc", "mips_4kec", "mips_mips32"},
	},
	{
		Name: "mips64el", Debian: "mips64el", Triplet: "mips64el-linux-gnuabi64", Go: "mips64le", Qemu: "mips64el", Uname: "mips64",
		Machine: elf.EM_MIPS, Class: c64, Order: little, Loaders: loadersN64,
		OpenWrt: []string{"mips64el_mips64r2"},
	},
	{
		Name: "mips64", Debian: "mips64", Triplet: "mips64-linux-gnuabi64", Go: "mips64", Qemu: "mips64", Uname: "mips64",
		Machine: elf.EM_MIPS, Class: c64, Order: big, Loaders: loadersN64,
		OpenWrt: []string{"mips64_octeonplus", "mips64_mips64r2"},
	},
}
