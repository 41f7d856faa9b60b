package ldconfig

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/rootpath"
	"github.com/crossroot/crossroot/internal/ldcache"
)

// library is what one file says of itself.
type library struct {
	soname    string // "" without one
	flags     uint32
	osVersion uint32 // ABI note, before glibc 2.36
	isaLevel  uint32
}

// examine reads a file that may be a library; false when it is none. The
// message, if there has to be one, is written here.
func (r *run) examine(name string, isLink bool) (library, rootpath.Info, bool) {
	f, err := r.tree.OpenRegular(name)
	if errors.Is(err, fd.ErrNotRegular) {
		if info, err := r.tree.Stat(name); err == nil && info.Dir() {
			r.warn(nil, "Cannot mmap file %s.\n", name)
		}
		return library{}, rootpath.Info{}, false
	}
	if err != nil {
		if !isLink || !strings.Contains(name, ".so") {
			r.warn(nil, "Input file %s not found.\n", name)
		}
		return library{}, rootpath.Info{}, false
	}
	defer f.Close()
	info, err := rootpath.Stat(f)
	if err != nil {
		r.warn(nil, "Cannot fstat file %s.\n", name)
		return library{}, rootpath.Info{}, false
	}
	lib, ok := r.read(name, f, info.Size)
	return lib, info, ok
}

// read looks at the content.
func (r *run) read(name string, f *os.File, size int64) (library, bool) {
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		r.warn(nil, "Cannot mmap file %s.\n", name)
		return library{}, false
	}
	head = head[:n]
	if size < r.facts.headerSize() {
		if size == 0 {
			r.warn(nil, "File %s is empty, not checked.", name)
		} else if strings.HasPrefix(elf.ELFMAG, string(head[:min(n, 4)])) {
			r.warn(nil, "File %s is too small, not checked.", name)
		}
		return library{}, false
	}
	if !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		if !bytes.Contains(head, []byte("GROUP")) && !bytes.Contains(head, []byte("GNU ld script")) && !r.isGDBScript(name) {
			r.warn(nil, "%s is not an ELF file - it has the wrong magic bytes at the start.\n", name)
		}
		return library{}, false
	}
	header, err := elfimage.ParseHeader(head)
	if err != nil || header.ByteOrder().String() != r.facts.order.String() || header.Type != elf.ET_DYN {
		return library{}, false
	}
	if !r.ours(name, header) {
		return library{}, false
	}
	image, err := elfimage.Open(f, size)
	if err != nil {
		r.warn(nil, "file %s is truncated\n", name)
		return library{}, false
	}
	return r.facts.classify(image)
}

// headerSize is the size below which a file is too small to be looked at.
func (f facts) headerSize() int64 {
	if f.class == elf.ELFCLASS64 {
		return 64
	}
	return 52
}

func (r *run) isGDBScript(name string) bool {
	return strings.HasSuffix(name, "-gdb.py") ||
		r.facts.gdbScripts && (strings.HasSuffix(name, "-gdb.gdb") || strings.HasSuffix(name, "-gdb.scm"))
}

// ours says whether the target's ldconfig reads libraries of this kind: of
// both classes where the CPU has both, of any machine but for x86.
func (r *run) ours(name string, h elfimage.Header) bool {
	switch r.facts.machine {
	case elf.EM_386, elf.EM_X86_64:
		if h.Machine == elf.EM_X86_64 || h.Machine == elf.EM_386 && h.Class == elf.ELFCLASS32 {
			return true
		}
		r.warn(nil, "%s is for unknown machine %d.\n", name, h.Machine)
		return false
	case elf.EM_ARM, elf.EM_AARCH64, elf.EM_RISCV, elf.EM_MIPS, elf.EM_S390, elf.EM_PPC, elf.EM_PPC64,
		elf.EM_SPARC, elf.EM_SPARC32PLUS, elf.EM_SPARCV9:
		return true
	}
	if h.Class == r.facts.class {
		return true
	}
	if r.verbose {
		width := 32
		if h.Class == elf.ELFCLASS64 {
			width = 64
		}
		r.warn(nil, "%s is a %d bit ELF file.\n", name, width)
	}
	return false
}

// classify gives flags and name of a shared object; false for those that the
// C library does not support.
func (f facts) classify(m *elfimage.Image) (library, bool) {
	if !m.Dynamic() {
		return library{}, false
	}
	lib := library{soname: m.Soname(), flags: ldcache.TypeLibc6}
	if f.legacy {
		lib.flags = f.libraryType(m)
	}
	if f.minor < 36 {
		if abi, ok := m.ABI(); ok {
			lib.osVersion = abi.OS<<24 | abi.Kernel[0]&0xff<<16 | abi.Kernel[1]&0xff<<8 | abi.Kernel[2]&0xff
		}
	}
	if f.machine == elf.EM_386 || f.machine == elf.EM_X86_64 {
		lib.isaLevel = isaLevel(m)
	}
	ok := f.setABI(&lib.flags, m.Header)
	return lib, ok
}

// libraryType tells libraries that use the C library from those that use none.
func (f facts) libraryType(m *elfimage.Image) uint32 {
	if m.Interp() != "" && slices.Contains(f.interpreters, m.Interp()) {
		return ldcache.TypeLibc6
	}
	suffix := ""
	if f.machine == elf.EM_ALPHA || f.machine == elf.EM_ALPHA_STD || f.machine == elf.EM_IA_64 {
		suffix = ".1"
	}
	if slices.Contains(m.Needed(), "libc.so.6"+suffix) || slices.Contains(m.Needed(), "libm.so.6"+suffix) {
		return ldcache.TypeLibc6
	}
	return ldcache.TypeELF
}
