package toolroot

import (
	"fmt"
	"strings"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/relocate"
)

// family is a set of programs that have the CPU's name compiled in. They are
// usable for a target when that name could be replaced in all of them.
type family struct {
	libraries []string // prefixes of libraries that belong to it
	words     func(a arch.Arch) []string
	inCode    bool // the compiler may have turned the name into instructions
	tail      bool // see relocate.Word
	module    bool // see relocate.Word
	least     int  // places where a name must be found, in the whole family
	// shown says that the programs only show the name: where it can't be
	// replaced they are there as they are, without an Identity.
	shown bool
}

// families by name: dpkg has the name in each program (lib/dpkg, ARCHITECTURE),
// apt in libapt-pkg (apt-pkg/init.cc, COMMON_ARCH), bash as MACHTYPE, HOSTTYPE
// and OSTYPE (variables.c, version.c), python as sys.implementation._multiarch, and in
// the ending of the names of binary modules (sysmodule.c, dynload_shlib.c).
var families = map[string]family{
	"dpkg":   {words: debianName, least: 1},
	"apt":    {words: debianName, least: 1, inCode: true, libraries: []string{"libapt-pkg.so", "libapt-private.so"}},
	"bash":   {words: gnuNames, least: 2, tail: true, shown: true},
	"python": {words: tripletName, least: 2, module: true, libraries: []string{"libpython3."}},
}

// familyOf is the family that a library belongs to, or "".
func familyOf(library string) string {
	for name, f := range families {
		for _, prefix := range f.libraries {
			if strings.HasPrefix(library, prefix) {
				return name
			}
		}
	}
	return ""
}

func debianName(a arch.Arch) []string {
	if a.Debian == "" {
		return nil
	}
	return []string{a.Debian}
}

func tripletName(a arch.Arch) []string {
	if a.Debian == "" || a.Triplet == "" {
		return nil
	}
	return []string{a.Triplet}
}

// gnuNames are what Debian's builds call machine type, host type and system
// type: the triplet with a vendor as GNU's config.sub puts it in.
func gnuNames(a arch.Arch) []string {
	cpu, system, ok := strings.Cut(a.Triplet, "-")
	if a.Debian == "" || !ok {
		return nil
	}
	vendor := "unknown"
	switch cpu {
	case "i386":
		cpu, vendor = "i686", "pc"
	case "x86_64":
		vendor = "pc"
	case "s390x":
		vendor = "ibm"
	}
	return []string{cpu + "-" + vendor + "-" + system, cpu, system}
}

// rewriting are the words to be replaced in a file of the family; each place is
// counted.
func (f family) rewriting(host, target arch.Arch, count *int) (list []relocate.Word) {
	from, to := f.words(host), f.words(target)
	if len(from) != len(to) {
		return nil
	}
	for i := range from {
		list = append(list, relocate.Word{Old: from[i], New: to[i], Tail: f.tail, Module: f.module, InCode: f.inCode, Count: count})
	}
	return list
}

// unfit says why a family can't be used for a target, "" if it can. places is
// the number of places where a name was found.
func (f family) unfit(host, target arch.Arch, places int) string {
	switch {
	case f.words(host) == nil:
		return "identity does not fit: Debian has no name for " + host.Name
	case f.words(target) == nil:
		return "identity does not fit: Debian has no name for " + target.Name
	case places < f.least:
		return fmt.Sprintf("identity does not fit: %q was not found in it", f.words(host)[0])
	}
	return ""
}
