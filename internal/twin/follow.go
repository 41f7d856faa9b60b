package twin

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/crossroot/crossroot/internal/debian/repo"
	"github.com/crossroot/crossroot/internal/twin/state"
)

// What a run may have fetched: the database that it changes says what is wanted, and a script can write anything there.
const (
	MostPackages = 20000   // in a twin
	MostBytes    = 2 << 30 // of packages, in all that one run changes
)

// ErrTooMuch says that a run's database asks for more than a run may have fetched.
var ErrTooMuch = errors.New("more than a run may have fetched")

// Follower gives the twin of a root at the start of a run, and then of what the run makes of the root. The repository is
// opened once, by the sources and keyrings that the root has at the start; one that can't be had isn't tried again.
type Follower struct {
	root *os.File
	o    Options
	kept kept
}

// kept is what a follower's builders share.
type kept struct {
	repo    Repository
	from    string
	err     error
	opened  bool
	whole   map[string]bool // packages' directories that were found to be whole
	fetched int64           // bytes
}

// Follow makes a follower; root and o are as for Open.
func Follow(root *os.File, o Options) *Follower {
	return &Follower{root: root, o: o, kept: kept{whole: map[string]bool{}}}
}

// Start gives the twin of the root as it is; check looks at each of its files.
func (f *Follower) Start(ctx context.Context, check bool) (*Twin, error) {
	o := f.o
	o.Check, o.kept = check, &f.kept
	return Open(ctx, f.root, o)
}

// Next gives the twin of the state that the run made. What can't be had is left out (Options.Lenient); Twin.Failure says why.
func (f *Follower) Next(ctx context.Context, s state.State) (*Twin, error) {
	o := f.o
	o.kept, o.State, o.Lenient, o.Progress, o.Refresh = &f.kept, &s, true, nil, false
	return Open(ctx, f.root, o)
}

// allow counts what is going to be fetched.
func (b *builder) allow(found map[string]repo.Package) error {
	if b.o.State == nil {
		return nil
	}
	for _, p := range found {
		b.o.kept.fetched += p.Size
	}
	if b.o.kept.fetched > MostBytes {
		return fmt.Errorf("%w: packages of %d bytes", ErrTooMuch, b.o.kept.fetched)
	}
	return nil
}

// whole says whether a package is unpacked and whole. A follower looks once.
func (b *builder) whole(id string) bool {
	k := b.o.kept
	if k != nil && k.whole[id] {
		return true
	}
	ok := b.cache.checkPackage(id)
	if ok && k != nil {
		k.whole[id] = true
	}
	return ok
}
