package transaction

import (
	"os"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/kernel/at"
)

// Seed makes a fresh upper directory look like ROOT's top: owner, mode, attributes and times, which the overlay shows
// as those of "/". Call it after making mount points in upper and before mounting the overlay; without it the run
// would seem to have changed the top directory.
func Seed(upper, lower *os.File) error {
	to, err := at.Reopen(int(upper.Fd()))
	if err != nil {
		return failed("open", "/", err)
	}
	defer at.Close(to)
	from, err := at.Reopen(int(lower.Fd()))
	if err != nil {
		return failed("open", "/", err)
	}
	defer at.Close(from)
	st, err := at.Fstat(from)
	if err != nil {
		return failed("stat", "/", err)
	}
	attrs, err := portableAttrs(from)
	if err != nil {
		return failed("list attributes", "/", err)
	}
	return finish(to, from, func() string { return "/" }, st, attrs)
}

// Leftovers names the stages that an interrupted commit left in the top of root. Before its first rename such a stage
// holds nothing of ROOT; after it, what was replaced.
func Leftovers(root *os.File) ([]string, error) {
	fd, err := at.Reopen(int(root.Fd()))
	if err != nil {
		return nil, failed("open", "/", err)
	}
	defer at.Close(fd)
	names, err := at.Names(fd)
	if err != nil {
		return nil, failed("list", "/", err)
	}
	return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, StagePrefix) }), nil
}
