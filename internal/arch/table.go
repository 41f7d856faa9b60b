package arch

import (
	"debug/elf"
	"slices"
)

// Machines that debug/elf has no name for.
const (
	machineHexagon = elf.EM_QDSP6
	machineCSKY    = elf.Machine(252)
	machineARCv2   = elf.EM_ARC_COMPACT2
)

// Values of e_flags, from the processor supplements.
const (
	armEABI     = 0xff000000 // EF_ARM_EABIMASK
	armEABI5    = 0x05000000
	armHard     = 0x00000400 // EF_ARM_ABI_FLOAT_HARD, with EABI 5
	ldLinux2    = "/lib/ld-linux.so.2"
	ldClassic   = "/lib/ld.so.1"
	ldUclibc    = "/lib/ld-uClibc.so.0"
	ldUclibc64  = "/lib/ld64-uClibc.so.0"
	armhfMusl   = "/lib/ld-musl-armhf.so.1"
	little, big = elf.ELFDATA2LSB, elf.ELFDATA2MSB
	c32, c64    = elf.ELFCLASS32, elf.ELFCLASS64
)

// table is in order of likelihood; rows with flags stand before the row of the
// same machine without.
var table = slices.Concat(common, mips)

var common = []Arch{
	{
		Name: "amd64", Debian: "amd64", Triplet: "x86_64-linux-gnu", Go: "amd64", Qemu: "x86_64", Uname: "x86_64",
		Machine: elf.EM_X86_64, Class: c64, Order: little, QemuCPU: "max",
		Loaders: []string{"/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1", ldUclibc64},
		OpenWrt: []string{"x86_64"}, Aliases: []string{"x86-64"},
	},
	{
		Name: "arm64", Debian: "arm64", Triplet: "aarch64-linux-gnu", Go: "arm64", Qemu: "aarch64", Uname: "aarch64",
		Machine: elf.EM_AARCH64, Class: c64, Order: little, QemuCPU: "cortex-a57",
		Loaders: []string{"/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1", ldUclibc64},
		OpenWrt: []string{"aarch64_generic", "aarch64_cortex-a53", "aarch64_cortex-a72", "aarch64_cortex-a76", "aarch64_armv8-a"},
	},
	{
		Name: "armhf", Debian: "armhf", Triplet: "arm-linux-gnueabihf", Go: "arm", Qemu: "arm", Uname: "armv7l",
		Machine: elf.EM_ARM, Class: c32, Order: little, FlagsMask: armEABI | armHard, FlagsValue: armEABI5 | armHard,
		Loaders: []string{"/lib/ld-linux-armhf.so.3", armhfMusl},
		OpenWrt: []string{
			"arm_cortex-a7_neon-vfpv4", "arm_cortex-a7_vfpv4", "arm_cortex-a5_vfpv4", "arm_cortex-a8_vfpv3",
			"arm_cortex-a9_neon", "arm_cortex-a9_vfpv3-d16", "arm_cortex-a15_neon-vfpv4", "arm_arm1176jzf-s_vfp",
		},
		Aliases: []string{"armv8l", "armv7", "armv6l"}, maybe: []string{"arm64", "armel"},
	},
	{
		Name: "arm-oabi", Triplet: "arm-linux-gnu", Qemu: "arm", Uname: "armv5tel",
		Machine: elf.EM_ARM, Class: c32, Order: little, FlagsMask: armEABI, FlagsValue: 0,
		Loaders: []string{ldLinux2}, maybe: []string{"armhf", "armel"},
	},
	{
		Name: "armel", Debian: "armel", Triplet: "arm-linux-gnueabi", Go: "arm", Qemu: "arm", Uname: "armv7l",
		Machine: elf.EM_ARM, Class: c32, Order: little,
		Loaders: []string{"/lib/ld-linux.so.3", "/lib/ld-musl-arm.so.1", ldUclibc},
		OpenWrt: []string{
			"arm_cortex-a7", "arm_cortex-a9", "arm_arm926ej-s", "arm_xscale", "arm_fa526", "arm_mpcore",
		},
		Aliases: []string{"armv4tl", "armv5l"}, native: []string{"armhf"}, maybe: []string{"arm64"},
	},
	{
		Name: "armeb", Debian: "armeb", Triplet: "armeb-linux-gnueabi", Qemu: "armeb", Uname: "armv7b",
		Machine: elf.EM_ARM, Class: c32, Order: big,
		Loaders: []string{
			"/lib/ld-linux.so.3", "/lib/ld-linux-armhf.so.3", "/lib/ld-musl-armeb.so.1", "/lib/ld-musl-armebhf.so.1", ldUclibc,
		},
		OpenWrt: []string{"armeb_xscale"}, maybe: []string{"arm64be"},
	},
	{
		Name: "arm64be", Triplet: "aarch64_be-linux-gnu", Qemu: "aarch64_be", Uname: "aarch64_be",
		Machine: elf.EM_AARCH64, Class: c64, Order: big, QemuCPU: "cortex-a57",
		Loaders: []string{"/lib/ld-linux-aarch64_be.so.1", "/lib/ld-musl-aarch64_be.so.1"},
		OpenWrt: []string{"aarch64_be_generic"},
	},
	{
		Name: "arm64ilp32", Debian: "arm64ilp32", Triplet: "aarch64-linux-gnu_ilp32", Uname: "aarch64",
		Machine: elf.EM_AARCH64, Class: c32, Order: little,
		Loaders: []string{"/lib/ld-linux-aarch64_ilp32.so.1"}, maybe: []string{"arm64"},
	},
	{
		Name: "i386", Debian: "i386", Triplet: "i386-linux-gnu", Go: "386", Qemu: "i386", Uname: "i686",
		Machine: elf.EM_386, Class: c32, Order: little, QemuCPU: "max",
		Loaders: []string{ldLinux2, "/lib/ld-musl-i386.so.1", ldUclibc},
		OpenWrt: []string{"i386_pentium4", "i386_pentium-mmx", "i386_geode", "i386_i486"},
		Aliases: []string{"i486", "i586", "x86"}, native: []string{"amd64"},
	},
	{
		Name: "x32", Debian: "x32", Triplet: "x86_64-linux-gnux32", Uname: "x86_64",
		Machine: elf.EM_X86_64, Class: c32, Order: little,
		Loaders: []string{"/libx32/ld-linux-x32.so.2", "/lib/ld-musl-x32.so.1"}, maybe: []string{"amd64"},
	},
	{
		Name: "riscv64", Debian: "riscv64", Triplet: "riscv64-linux-gnu", Go: "riscv64", Qemu: "riscv64", Uname: "riscv64",
		Machine: elf.EM_RISCV, Class: c64, Order: little,
		Loaders: []string{
			"/lib/ld-linux-riscv64-lp64d.so.1", "/lib/ld-linux-riscv64-lp64.so.1", "/lib/ld-musl-riscv64.so.1", "/lib/ld-musl-riscv64-sf.so.1",
		},
		OpenWrt: []string{"riscv64_generic", "riscv64_riscv64"},
	},
	{
		Name: "riscv32", Triplet: "riscv32-linux-gnu", Qemu: "riscv32", Uname: "riscv32",
		Machine: elf.EM_RISCV, Class: c32, Order: little,
		Loaders: []string{
			"/lib/ld-linux-riscv32-ilp32d.so.1", "/lib/ld-linux-riscv32-ilp32.so.1", "/lib/ld-musl-riscv32.so.1", "/lib/ld-musl-riscv32-sf.so.1",
		},
		maybe: []string{"riscv64"},
	},
	{
		Name: "loong64", Debian: "loong64", Triplet: "loongarch64-linux-gnu", Go: "loong64", Qemu: "loongarch64", Uname: "loongarch64",
		Machine: elf.EM_LOONGARCH, Class: c64, Order: little,
		Loaders: []string{
			"/lib64/ld-linux-loongarch-lp64d.so.1", "/lib64/ld-linux-loongarch-lp64s.so.1", "/lib/ld-musl-loongarch64.so.1",
		},
		OpenWrt: []string{"loongarch64_generic"},
	},
	{
		Name: "ppc64el", Debian: "ppc64el", Triplet: "powerpc64le-linux-gnu", Go: "ppc64le", Qemu: "ppc64le", Uname: "ppc64le",
		Machine: elf.EM_PPC64, Class: c64, Order: little,
		Loaders: []string{"/lib64/ld64.so.2", "/lib/ld-musl-powerpc64le.so.1"}, Aliases: []string{"powerpc64le"},
	},
	{
		Name: "ppc64", Debian: "ppc64", Triplet: "powerpc64-linux-gnu", Go: "ppc64", Qemu: "ppc64", Uname: "ppc64",
		Machine: elf.EM_PPC64, Class: c64, Order: big,
		Loaders: []string{"/lib64/ld64.so.1", "/lib64/ld64.so.2", "/lib/ld-musl-powerpc64.so.1"},
		OpenWrt: []string{"powerpc64_e5500"}, Aliases: []string{"powerpc64"},
	},
	{
		Name: "powerpc", Debian: "powerpc", Triplet: "powerpc-linux-gnu", Qemu: "ppc", Uname: "ppc",
		Machine: elf.EM_PPC, Class: c32, Order: big,
		Loaders: []string{ldClassic, "/lib/ld-musl-powerpc.so.1", "/lib/ld-musl-powerpc-sf.so.1", ldUclibc},
		OpenWrt: []string{"powerpc_464fp", "powerpc_8540", "powerpc_8548"},
		Aliases: []string{"powerpcspe", "ppc32"}, native: []string{"ppc64"},
	},
	{
		Name: "powerpcel", Debian: "powerpcel", Triplet: "powerpcle-linux-gnu", Uname: "ppcle",
		Machine: elf.EM_PPC, Class: c32, Order: little, Loaders: []string{"/lib/ld-musl-powerpcle.so.1"},
		maybe: []string{"ppc64el"},
	},
	{
		Name: "s390x", Debian: "s390x", Triplet: "s390x-linux-gnu", Go: "s390x", Qemu: "s390x", Uname: "s390x",
		Machine: elf.EM_S390, Class: c64, Order: big,
		Loaders: []string{"/lib/ld64.so.1", "/lib/ld-musl-s390x.so.1"},
	},
	{
		Name: "s390", Debian: "s390", Triplet: "s390-linux-gnu", Uname: "s390",
		Machine: elf.EM_S390, Class: c32, Order: big, Loaders: []string{ldClassic}, maybe: []string{"s390x"},
	},
	{
		Name: "sparc64", Debian: "sparc64", Triplet: "sparc64-linux-gnu", Qemu: "sparc64", Uname: "sparc64",
		Machine: elf.EM_SPARCV9, Class: c64, Order: big, Loaders: []string{"/lib64/ld-linux.so.2"},
	},
	{
		Name: "sparc", Debian: "sparc", Triplet: "sparc-linux-gnu", Qemu: "sparc", Uname: "sparc",
		Machine: elf.EM_SPARC, Class: c32, Order: big,
		Loaders: []string{ldLinux2, ldUclibc}, native: []string{"sparc64"},
	},
	{
		Name: "sparc32plus", Triplet: "sparc-linux-gnu", Qemu: "sparc32plus", Uname: "sparc64",
		Machine: elf.EM_SPARC32PLUS, Class: c32, Order: big, Loaders: []string{ldLinux2}, native: []string{"sparc64"},
	},
	{
		Name: "alpha", Debian: "alpha", Triplet: "alpha-linux-gnu", Qemu: "alpha", Uname: "alpha",
		Machine: elf.EM_ALPHA, Class: c64, Order: little, Loaders: []string{ldLinux2},
	},
	{
		Name: "hppa", Debian: "hppa", Triplet: "hppa-linux-gnu", Qemu: "hppa", Uname: "parisc",
		Machine: elf.EM_PARISC, Class: c32, Order: big, Loaders: []string{ldClassic}, Aliases: []string{"parisc64"},
	},
	{
		Name: "m68k", Debian: "m68k", Triplet: "m68k-linux-gnu", Qemu: "m68k", Uname: "m68k",
		Machine: elf.EM_68K, Class: c32, Order: big, Loaders: []string{ldClassic, "/lib/ld-musl-m68k.so.1", ldUclibc},
	},
	{
		Name: "sh4", Debian: "sh4", Triplet: "sh4-linux-gnu", Qemu: "sh4", Uname: "sh4",
		Machine: elf.EM_SH, Class: c32, Order: little, Loaders: []string{ldLinux2, "/lib/ld-musl-sh.so.1", ldUclibc},
	},
	{
		Name: "sh4eb", Debian: "sh4eb", Triplet: "sh4eb-linux-gnu", Qemu: "sh4eb", Uname: "sh4eb",
		Machine: elf.EM_SH, Class: c32, Order: big, Loaders: []string{ldLinux2, "/lib/ld-musl-sheb.so.1", ldUclibc},
	},
	{
		Name: "microblaze", Triplet: "microblaze-linux-gnu", Qemu: "microblaze", Uname: "microblaze",
		Machine: elf.EM_MICROBLAZE, Class: c32, Order: big, Loaders: []string{ldClassic, "/lib/ld-musl-microblaze.so.1"},
	},
	{
		Name: "microblazeel", Triplet: "microblazeel-linux-gnu", Qemu: "microblazeel", Uname: "microblaze",
		Machine: elf.EM_MICROBLAZE, Class: c32, Order: little, Loaders: []string{ldClassic, "/lib/ld-musl-microblazeel.so.1"},
	},
	{
		Name: "or1k", Debian: "or1k", Triplet: "or1k-linux-gnu", Qemu: "or1k", Uname: "openrisc",
		Machine: elf.EM_OPENRISC, Class: c32, Order: big,
		Loaders: []string{"/lib/ld-linux-or1k.so.1", "/lib/ld-musl-or1k.so.1", ldUclibc},
	},
	{
		Name: "nios2", Debian: "nios2", Triplet: "nios2-linux-gnu", Qemu: "nios2", Uname: "nios2",
		Machine: elf.EM_ALTERA_NIOS2, Class: c32, Order: little, Loaders: []string{"/lib/ld-linux-nios2.so.1", ldUclibc},
	},
	{
		Name: "xtensa", Triplet: "xtensa-linux-gnu", Qemu: "xtensa", Uname: "xtensa",
		Machine: elf.EM_XTENSA, Class: c32, Order: little, Loaders: []string{ldUclibc},
	},
	{
		Name: "xtensaeb", Triplet: "xtensaeb-linux-gnu", Qemu: "xtensaeb", Uname: "xtensa",
		Machine: elf.EM_XTENSA, Class: c32, Order: big, Loaders: []string{ldUclibc},
	},
	{
		Name: "hexagon", Triplet: "hexagon-linux-musl", Qemu: "hexagon", Uname: "hexagon",
		Machine: machineHexagon, Class: c32, Order: little, Loaders: []string{"/lib/ld-musl-hexagon.so.1"},
	},
	{
		Name: "cris", Triplet: "cris-linux-gnu", Qemu: "cris", Uname: "cris",
		Machine: elf.EM_CRIS, Class: c32, Order: little, Loaders: []string{ldClassic, ldUclibc},
	},
	{
		Name: "csky", Triplet: "csky-linux-gnuabiv2", Uname: "csky",
		Machine: machineCSKY, Class: c32, Order: little,
		Loaders: []string{"/lib/ld-linux-cskyv2.so.1", "/lib/ld-linux-cskyv2-hf.so.1"},
	},
	{
		Name: "arc", Debian: "arc", Triplet: "arc-linux-gnu", Uname: "arc",
		Machine: machineARCv2, Class: c32, Order: little, Loaders: []string{"/lib/ld-linux-arc.so.2", ldUclibc},
		OpenWrt: []string{"arc_archs"},
	},
	{
		Name: "ia64", Debian: "ia64", Triplet: "ia64-linux-gnu", Uname: "ia64",
		Machine: elf.EM_IA_64, Class: c64, Order: little, Loaders: []string{"/lib/ld-linux-ia64.so.2"},
	},
}
