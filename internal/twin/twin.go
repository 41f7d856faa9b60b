// Package twin makes the twin of a Debian root: a directory with the same packages, in the same versions, for this
// machine's CPU, for package toolroot to take programs and libraries from.
//
// It promises that a twin is complete or not there, that an unchanged root costs a few system calls and no network, and
// that after a change only what changed is fetched and unpacked. It must not know which of the programs will be run, nor
// how packages are found and verified: that is package repo's.
package twin

import (
	"context"
	"errors"
	"os"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/debian/repo"
	"github.com/crossroot/crossroot/internal/twin/state"
)

// ErrNotDebian says that a root has no database of Debian packages.
var ErrNotDebian = state.ErrNone

// ErrNoTwin says that not a single package of the root could be found for this machine's CPU.
var ErrNoTwin = errors.New("none of its packages can be had for this machine's CPU")

// Repository is where packages come from: *repo.Repository.
type Repository interface {
	// Resolve returns the package in this version, or else the nearest.
	Resolve(name, version string) (repo.Package, error)
	// Fetch returns the packages' files in the same order.
	Fetch(ctx context.Context, packages []repo.Package) ([]string, error)
}

// Options of Open.
type Options struct {
	Cache  string    // crossroot's cache directory
	Target arch.Arch // of the root
	Host   arch.Arch // of the twin; the zero value is this machine's
	// From is whose apt configuration names the sources: "root", "machine", or a file such as those of sources.list(5);
	// "": the root's, and if nothing is to be had from there this machine's, if that is of the same release.
	From string
	// Repository, if not nil, is the source instead; the second value says in words which it is.
	Repository func(ctx context.Context) (Repository, string, error)
	Progress   func(done, total int, what string) // may be nil; called by one goroutine at a time
	Check      bool                               // look at each file of a twin that is ready
	Refresh    bool                               // ask the repository again about packages whose version it didn't have
	// Lenient goes on with what the cache has when the repository can't be had, and doesn't try that again for an hour.
	Lenient bool
	Config  repo.Config // what isn't set by Open: Keyrings, Offline, Allow…
	// State, if not nil, is what a run made of the root, whose sources, keyrings and release are its own as before.
	State *state.State

	kept *kept // of a Follower
}

// Difference is a package whose version the repository doesn't have.
type Difference struct {
	Package string `json:"package"`
	Target  string `json:"target"`         // the root's version
	Twin    string `json:"twin,omitempty"` // what was taken in its place; "": nothing was found
}

// Twin is a twin that is ready. Close it when nothing is read from it any more: until then GC leaves it alone.
type Twin struct {
	Key         string
	Dir         string       // a root for toolroot.Source
	From        string       // where the packages came from, in words
	Packages    int          // in it
	Differences []Difference // by name
	LeftOut     int          // packages that hold nothing that could be run: headers, debug symbols, kernels
	Unpacked    int          // packages, this time
	Built       bool         // this time
	Warnings    []string     // of the repository, this time
	Failure     *Failure     // why the repository couldn't be had, if that was so (Options.Lenient)

	inUse *os.File
}

// Close says that the twin is no longer in use.
func (t *Twin) Close() error { return t.inUse.Close() }

// Open gives the twin of a root, and makes it when there is none or the root's packages changed. root is open for
// reading; its Name is its path. Errors are ErrNotDebian, ErrNoTwin, those of package repo, of reading packages
// (archive.ErrDamaged, unpack.ErrNoSpace), and of the file system.
func Open(ctx context.Context, root *os.File, o Options) (*Twin, error) {
	if o.Host.Name == "" {
		o.Host = arch.Host()
	}
	c, err := openCache(o.Cache)
	if err != nil {
		return nil, err
	}
	b := &builder{cache: c, root: root, o: o}
	if o.State != nil {
		return b.build(ctx)
	}
	b.old = c.readNote(root, o)
	b.note.Files = identify(root)
	if !o.Check && !o.Refresh && b.old.describes(b.note.Files) && !b.retries(b.old) {
		if b.old.Key == "" {
			return nil, b.old.Failure
		}
		if t, err := c.use(b.old); err == nil {
			return t, nil
		}
	}
	return b.build(ctx)
}
