package toolroot

import (
	"strings"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/relocate"
)

// family is a set of programs that have the CPU's name compiled in. They are
// usable for a target when that name could be replaced in all of them.
type family struct {
	libraries []string // prefixes of libraries that belong to it
	inCode    bool     // the compiler may have turned the name into instructions
}

// families by name: dpkg has the name in each program (lib/dpkg, ARCHITECTURE),
// apt in libapt-pkg (apt-pkg/init.cc, COMMON_ARCH).
var families = map[string]family{
	"dpkg": {},
	"apt":  {libraries: []string{"libapt-pkg.so", "libapt-private.so"}, inCode: true},
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

// words are what is rewritten in a file of the family.
func words(name string, host, target arch.Arch, count *int) []relocate.Word {
	f, ok := families[name]
	if !ok || host.Debian == "" || target.Debian == "" {
		return nil
	}
	return []relocate.Word{{Old: host.Debian, New: target.Debian, InCode: f.inCode, Count: count}}
}
