package entry

import (
	"fmt"
	"os"

	"github.com/crossroot/crossroot/internal/builtin/ldconfig"
)

// builtin runs one of crossroot's own replacements of a program; words are the argument vector.
func builtin(name string, words []string) int {
	switch name {
	case "ischroot":
		return 0 // yes: what asks must behave as in a chroot
	case "ldconfig":
		return ldconfig.Main(words[1:], "/", os.Stdout, os.Stderr)
	}
	fmt.Fprintf(os.Stderr, "crossroot: no builtin %q\n", name)
	return exitDenied
}
