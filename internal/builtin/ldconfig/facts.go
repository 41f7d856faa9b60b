package ldconfig

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/rootpath"
)

// facts are what a root's own ldconfig was built to do. Everything that
// differs between versions and vendors is told by the texts in it.
type facts struct {
	machine elf.Machine
	class   elf.Class
	order   binary.ByteOrder

	vendor  string // "(Debian GLIBC 2.36-9) "
	version string // "2.36"
	minor   int    // 36

	generator    string   // text for the cache; "" before glibc 2.33
	states       bool     // the cache tells its byte order
	compat       bool     // the default format has both tables: before 2.32
	systemDirs   []string // without trailing slash
	interpreters []string // loaders of its own C library
	auxMagic     string   // of /var/cache/ldconfig/aux-cache
	legacy       bool     // library types and legacy hwcap directories: before 2.37
	places       bool     // messages name the line that a directory comes from
	skipsTemp    bool     // leaves out unfinished files of package managers
	gdbScripts   bool     // knows -gdb.gdb and -gdb.scm
	ownLoaders   []string // links to these are never changed: Debian
}

// executables that may be ldconfig; where a wrapper script is called ldconfig
// the program has another name.
var executables = []string{"/sbin/ldconfig.real", "/sbin/ldconfig", "/usr/sbin/ldconfig.real", "/usr/sbin/ldconfig"}

var errNoLdconfig = errors.New("no ldconfig program in this root: without it nobody knows which cache its C library wants")

// readFacts looks at the ldconfig of the root.
func readFacts(root *rootpath.Root) (facts, error) {
	for _, name := range executables {
		f, err := readFactsOf(root, name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fd.ErrNotRegular) || errors.Is(err, elfimage.ErrNotELF) {
			continue
		}
		return f, err
	}
	return facts{}, errNoLdconfig
}

func readFactsOf(root *rootpath.Root, name string) (facts, error) {
	file, err := root.OpenRegular(name)
	if err != nil {
		return facts{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return facts{}, err
	}
	image, err := elfimage.Open(file, info.Size())
	if err != nil {
		return facts{}, fmt.Errorf("%s: %w", name, err)
	}
	f := facts{machine: image.Machine, class: image.Class, order: image.ByteOrder()}
	var r reader
	if err := image.Strings(r.add(&f)); err != nil {
		return facts{}, fmt.Errorf("%s: %w", name, err)
	}
	if err := f.finish(&r); err != nil {
		return facts{}, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// reader collects texts that mean nothing alone.
type reader struct {
	dirs     []string // the current run of directories
	end      int64    // where the last text ended
	ignores  bool     // "is the dynamic linker, ignoring"
	merged   bool     // a comma is missing in the list of loaders
	versions []string
}

const (
	auxPrefix = "glibc-ld.so.auxcache-"
	release   = " release version "
)

// add looks at one text of the executable.
func (r *reader) add(f *facts) func(int64, string) bool {
	return func(off int64, s string) bool {
		r.directories(f, off, s)
		switch {
		case strings.HasPrefix(s, "ldconfig ") && strings.Contains(s, release):
			f.generator = s
		case strings.Contains(s, "GLIBC ") && strings.HasPrefix(s, "(") && strings.HasSuffix(s, ") "):
			f.vendor = s
		case strings.HasPrefix(s, "2.") && len(s) <= 5:
			r.versions = append(r.versions, s)
		case s == "Format to use: new, old or compat (default)":
			f.compat = true
		case s == "Cache file has wrong endianness.\n":
			f.states = true
		case strings.HasPrefix(s, auxPrefix) && len(s) == len(auxPrefix)+3:
			f.auxMagic = s
		case s == "%s is not a known library type":
			f.legacy = true
		case s == "(from %s:%d and %s:%d)\n":
			f.places = true
		case s == ".dpkg-new":
			f.skipsTemp = true
		case s == "-gdb.scm":
			f.gdbScripts = true
		case s == "%s is the dynamic linker, ignoring\n":
			r.ignores = true
		case strings.Contains(s, "lp64.so.1ld-linux"):
			r.merged = true
		case strings.HasPrefix(s, "/lib") && strings.Contains(s, "/ld"):
			f.interpreters = append(f.interpreters, s)
		}
		return true
	}
}

// directories finds the first row of texts that are directories, one behind
// the other: the loader's own search path.
func (r *reader) directories(f *facts, off int64, s string) {
	isDir := strings.HasPrefix(s, "/") && strings.HasSuffix(s, "/") && strings.Contains(s, "/lib")
	switch {
	case isDir && off == r.end && len(r.dirs) > 0:
		r.dirs = append(r.dirs, s)
	case isDir:
		r.dirs = []string{s}
	default:
		r.dirs = nil
	}
	if len(r.dirs) > 1 && (f.systemDirs == nil || len(f.systemDirs) < len(r.dirs) && slices.Equal(f.systemDirs, r.dirs[:len(f.systemDirs)])) {
		f.systemDirs = slices.Clone(r.dirs)
	}
	r.end = off + int64(len(s)) + 1
}

// finish draws the conclusions.
func (f *facts) finish(r *reader) error {
	if _, v, ok := strings.Cut(f.generator, release); ok {
		f.version = v
	} else if len(r.versions) > 0 {
		f.version = r.versions[0]
	}
	_, minor, _ := strings.Cut(f.version, ".")
	minor, _, _ = strings.Cut(minor, ".")
	n, err := strconv.Atoi(minor)
	if err != nil {
		return fmt.Errorf("C library of unknown version %q", f.version)
	}
	f.minor = n
	if f.vendor == "" {
		if v, _, ok := strings.Cut(strings.TrimPrefix(f.generator, "ldconfig "), ") "); ok {
			f.vendor = v + ") "
		}
	}
	if len(f.systemDirs) == 0 {
		return errors.New("no library directories in it")
	}
	f.systemDirs = expand(f.machine, f.systemDirs)
	f.skipsTemp = f.skipsTemp || f.minor >= 39
	if r.ignores {
		f.ownLoaders = debianLoaders(r.merged)
	}
	return nil
}

// debianLoaders are the links that Debian's ldconfig leaves alone. In some
// versions two missing commas made three names one.
func debianLoaders(merged bool) []string {
	names := []string{
		"ld-kfreebsd-x86-64.so.1", "ld-linux-aarch64.so.1", "ld-linux-aarch64_be.so.1", "ld-linux-armhf.so.3",
		"ld-linux-ia64.so.2", "ld-linux-mipsn8.so.1", "ld-linux-x86-64.so.2", "ld-linux.so.2", "ld-linux.so.3",
		"ld.so.1", "ld64.so.1", "ld64.so.2",
	}
	if !merged {
		names = append(names, "ld-linux-riscv64-lp64.so.1", "ld-linux-riscv64-lp64d.so.1", "ld-linux-x32.so.2", "ld-linux-loongarch-lp64d.so.1")
	}
	return names
}

// expand gives the directories that ldconfig searches without being told.
// Debian's takes the loader's list, which has the multiarch directories, as it
// is; others take the first two and add what the CPU's other ABIs use.
func expand(m elf.Machine, loader []string) (dirs []string) {
	if len(loader) > 2 {
		for _, d := range loader {
			dirs = append(dirs, strings.TrimRight(d, "/"))
		}
		return dirs
	}
	strip, add := abiDirs(m)
	for _, d := range loader {
		d = strings.TrimRight(d, "/")
		for _, s := range strip {
			if base, ok := strings.CutSuffix(d, "/lib"+s); ok {
				d = base + "/lib"
				break
			}
		}
		dirs = append(dirs, d)
		if strings.HasSuffix(d, "/lib") {
			for _, s := range add {
				dirs = append(dirs, d+s)
			}
		}
	}
	return dirs
}

// abiDirs are the endings behind lib of the directories of other ABIs (glibc,
// sysdeps/unix/sysv/linux/*/dl-cache.h).
func abiDirs(m elf.Machine) (strip, add []string) {
	switch m {
	case elf.EM_X86_64:
		return []string{"64", "x32"}, []string{"64", "x32"}
	case elf.EM_AARCH64:
		return []string{"64", "ilp32"}, []string{"64", "ilp32"}
	case elf.EM_MIPS:
		return []string{"64", "32"}, []string{"32", "64"}
	case elf.EM_SPARC, elf.EM_SPARC32PLUS, elf.EM_SPARCV9, elf.EM_S390, elf.EM_PPC, elf.EM_PPC64:
		return []string{"64"}, []string{"64"}
	case elf.EM_RISCV:
		all := []string{"64/lp64d", "64/lp64", "32/ilp32d", "32/ilp32"}
		return all, all
	case elf.EM_LOONGARCH:
		return []string{"64", "64/sf"}, []string{"64", "64/sf"}
	}
	return nil, nil
}
