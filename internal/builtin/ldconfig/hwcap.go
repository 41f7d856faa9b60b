package ldconfig

import (
	"debug/elf"
	"slices"
	"strings"
)

// features are the legacy names of CPU features and platforms: directories of
// these names hold libraries for better CPUs. glibc 2.37 dropped them for
// glibc-hwcaps. Source: glibc, sysdeps/*/dl-procinfo.[ch].
type features struct {
	names     []string // a name's index is its bit
	important uint32   // bits of those whose directories are searched
	platforms []string // always searched
	first     int      // the bit of the first platform
}

// bitTLS is the bit of the directory called tls, which has always been there.
const bitTLS = 63

var (
	featuresX86 = features{
		names: []string{"sse2", "x86_64", "avx512_1"}, important: 7,
		platforms: []string{"i586", "i686", "haswell", "xeon_phi"}, first: 48,
	}
	featuresArm = features{
		names: []string{
			"swp", "half", "thumb", "26bit", "fastmult", "fpa", "vfp", "edsp", "java", "iwmmxt", "crunch", "thumbee",
			"neon", "vfpv3", "vfpv3d16", "tls", "vfpv4", "idiva", "idivt", "vfpd32", "lpae", "evtstrm", "aes", "pmull",
			"sha1", "sha2", "crc32",
		},
		important: 1<<6 | 1<<12,
	}
	featuresArm64 = features{
		names: []string{
			"fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp", "cpuid",
			"asimdrdm", "jscvt", "fcma", "lrcpc", "dcpop", "sha3", "sm3", "sm4", "asimddp", "sha512", "sve", "asimdfhm",
			"dit", "uscat", "ilrcpc", "flagm", "ssbs", "sb", "paca", "pacg",
		},
		important: 1 << 8,
	}
	featuresS390 = features{
		names: []string{
			"esan3", "zarch", "stfle", "msa", "ldisp", "eimm", "dfp", "edat", "etf3eh", "highgprs", "te", "vx", "vxd",
			"vxe", "gs", "vxe2", "vxp", "sort", "dflt", "vxp2", "nnpa", "pcimio", "sie",
		},
		important: 1<<1 | 1<<4 | 1<<5 | 1<<6 | 1<<11 | 1<<13 | 1<<15,
		platforms: []string{"g5", "z900", "z990", "z9-109", "z10", "z196", "zEC12", "z13", "z14", "z15", "z16"}, first: 32,
	}
	featuresPower = features{
		names: []string{
			"ppcle", "true_le", "", "", "", "", "archpmu", "vsx", "arch_2_06", "power6x", "dfp", "pa6t", "arch_2_05",
			"ic_snoop", "smt", "booke", "cellbe", "power5+", "power5", "power4", "notb", "efpdouble", "efpsingle", "spe",
			"ucache", "4xxmac", "mmu", "fpu", "altivec", "ppc601", "ppc64", "ppc32", "", "", "", "", "", "", "", "", "",
			"", "", "", "", "", "", "", "", "mma", "arch_3_1", "htm-no-suspend", "scv", "darn", "ieee128", "arch_3_00",
			"htm-nosc", "vcrypto", "tar", "isel", "ebb", "dscr", "htm", "arch_2_07",
		},
		important: 1<<28 | 1<<10,
		platforms: []string{
			"power4", "ppc970", "power5", "power5+", "power6", "ppc-cell-be", "power6x", "power7", "ppca2", "ppc405",
			"ppc440", "ppc464", "ppc476", "power8", "power9", "power10",
		},
		first: 32,
	}
	featuresSparc = features{
		names: []string{
			"flush", "stbar", "swap", "muldiv", "v9", "ultra3", "v9v", "v9v2", "mul32", "div32", "fsmuld", "v8plus",
			"popc", "vis", "vis2", "ASIBlkInit", "fmaf", "vis3", "hpc", "random", "trans", "fjfmau", "ima", "cspare",
			"pause", "cbcond", "crypto", "adp",
		},
		important: 1<<5 | 1<<6 | 1<<7, // and v9 for the 32-bit ldconfig
	}
	featuresMips  = features{platforms: []string{"loongson2e", "loongson2f", "octeon", "octeon2"}}
	featuresAlpha = features{platforms: []string{"ev4", "ev5", "ev56", "ev6", "ev67"}}
	featuresCsky  = features{platforms: []string{"ck610", "ck807", "ck810", "ck860"}}
)

func (f facts) features() features {
	switch f.machine {
	case elf.EM_386, elf.EM_X86_64:
		return featuresX86
	case elf.EM_ARM:
		return featuresArm
	case elf.EM_AARCH64:
		return featuresArm64
	case elf.EM_S390:
		return featuresS390
	case elf.EM_PPC, elf.EM_PPC64:
		return featuresPower
	case elf.EM_SPARC, elf.EM_SPARC32PLUS:
		v9 := featuresSparc
		v9.important |= 1 << 4
		return v9
	case elf.EM_SPARCV9:
		return featuresSparc
	case elf.EM_MIPS:
		return featuresMips
	case elf.EM_ALPHA, elf.EM_ALPHA_STD:
		return featuresAlpha
	case 252: // C-SKY
		return featuresCsky
	}
	return features{}
}

// bit gives the bit of a name in any of the three lists.
func (s features) bit(name string) (int, bool) {
	if i := slices.Index(s.names, name); i >= 0 && name != "" {
		return i, true
	}
	if i := slices.Index(s.platforms, name); i >= 0 {
		return s.first + i, true
	}
	return bitTLS, name == "tls"
}

// searched says whether a subdirectory of that name holds libraries too.
func (f facts) searched(name string) bool {
	if !f.legacy {
		return false
	}
	s := f.features()
	if i := slices.Index(s.names, name); i >= 0 && i < 32 && s.important&(1<<i) != 0 {
		return true
	}
	return slices.Contains(s.platforms, name) || name == "tls"
}

// hwcap is the sum of the bits of the last components of dir, up to the first
// that is no feature.
func (f facts) hwcap(dir string) (sum uint64) {
	if !f.legacy {
		return 0
	}
	s := f.features()
	for {
		i := strings.LastIndexByte(dir, '/')
		if i < 0 {
			return sum
		}
		bit, ok := s.bit(dir[i+1:])
		if !ok {
			return sum
		}
		sum += 1 << bit
		dir = dir[:i]
	}
}
