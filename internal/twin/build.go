package twin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/crossroot/crossroot/internal/debian/version"
	"github.com/crossroot/crossroot/internal/twin/state"
)

const keyLength = 24 // hexadecimal digits

// builder makes a twin.
type builder struct {
	cache  *cache
	root   *os.File
	o      Options
	old    note // what was known
	other  note // of the root after a run, if this is the start of one, and the other way round
	note   note // what is known now
	target target
	repo   Repository // nil until it is needed
	made   int        // packages unpacked

	warnings []string
}

// build makes what is missing. Whoever comes second waits, and finds it ready.
func (b *builder) build(ctx context.Context) (*Twin, error) {
	unlock, err := b.cache.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	b.cache.sweep()
	b.old, b.other = b.cache.readNote(b.root, b.o), b.cache.readOtherNote(b.root, b.o)
	if err := b.readTarget(); err != nil {
		return nil, err
	}
	for _, n := range []note{b.old, b.other} {
		if t, err := b.again(n); err == nil {
			return t, nil
		}
	}
	b.note.Key, b.note.Choices, b.note.Failure, b.note.From = "", nil, nil, cmp.Or(b.old.From, b.other.From)
	if err := b.choose(ctx); err != nil {
		return nil, err
	}
	built, err := b.compose(ctx)
	if errors.Is(err, ErrNoTwin) && b.note.Failure != nil {
		b.note.Key, err = "", b.note.Failure
		_ = b.cache.writeNote(b.root, b.o, b.note) // the next one tries too, if this can't be noted
	}
	if err != nil {
		return nil, err
	}
	t, err := b.finish()
	if err != nil {
		return nil, err
	}
	t.Unpacked, t.Built, t.Warnings = b.made, built, b.warnings
	return t, nil
}

// readTarget reads what the twin is to be of.
func (b *builder) readTarget() error {
	var s state.State
	var err error
	if b.o.State != nil {
		s = *b.o.State
	} else if s, err = state.Read(b.root, state.Largest); err != nil {
		return err
	}
	if b.target, err = newTarget(s, b.o.Target, b.o.Host); err != nil {
		return err
	}
	if n := len(b.target.packages); n > MostPackages && b.o.State != nil {
		return fmt.Errorf("%w: %d packages", ErrTooMuch, n)
	}
	b.note.Sum = b.target.sum()
	return nil
}

// again opens the twin that a note names, if it is of the same packages.
func (b *builder) again(n note) (*Twin, error) {
	if b.note.Sum != n.Sum || b.o.Refresh || b.retries(n) || b.o.Check && !b.cache.checkTree(n.Key) {
		return nil, errChanged
	}
	b.note.Key, b.note.Choices, b.note.Failure, b.note.From = n.Key, n.Choices, n.Failure, n.From
	return b.finish()
}

var errChanged = errors.New("changed")

// retryAfter is how long a repository that can't be had is left alone.
const retryAfter = time.Hour

// retries says whether the repository is to be tried again, which couldn't be had when the note was written.
func (b *builder) retries(n note) bool {
	f := n.Failure
	if f == nil {
		return false
	}
	if f.Offline && !b.o.Config.Offline {
		return true
	}
	age := time.Since(f.When)
	return !b.o.Lenient || age < 0 || age > retryAfter
}

// finish opens the tree and notes it.
func (b *builder) finish() (*Twin, error) {
	t, err := b.cache.use(b.note)
	if err != nil {
		return nil, err
	}
	if err := b.cache.writeNote(b.root, b.o, b.note); err != nil {
		_ = t.Close()
		return nil, err
	}
	return t, nil
}

// describe fills in what a report wants to know.
func (t *Twin) describe(n note) {
	t.Failure = n.Failure
	for name, c := range n.Choices {
		switch {
		case c.LeftOut:
			t.LeftOut++
			continue
		case c.Version != "":
			t.Packages++
		}
		if c.Version == "" || !version.SameSource(c.Version, c.Want) {
			t.Differences = append(t.Differences, Difference{name, c.Want, c.Version})
		}
	}
	slices.SortFunc(t.Differences, func(a, b Difference) int { return strings.Compare(a.Package, b.Package) })
}

// key names the tree that is made of the packages chosen.
func (b *builder) key() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %q %q\n", format, b.o.Host.Name, b.target.merged, b.target.diversions)
	for _, id := range b.packageIDs() {
		fmt.Fprintln(h, id)
	}
	return hex.EncodeToString(h.Sum(nil))[:keyLength]
}

// packageIDs are the names of the packages' directories, by name of the package.
func (b *builder) packageIDs() []string {
	var ids []string
	for _, p := range b.target.packages {
		if c := b.note.Choices[p.Name]; c.SHA256 != "" && !c.LeftOut {
			ids = append(ids, c.id(p.Name))
		}
	}
	return ids
}

// id names a package's directory. All parts were checked when the index was read, or the note is ours.
func (c choice) id(name string) string {
	return strings.NewReplacer("/", "%2f", ":", "%3a").Replace(name + "_" + c.Version + "_" + c.Arch + "_" + c.SHA256)
}

// compose makes the tree unless it is there and whole.
func (b *builder) compose(ctx context.Context) (built bool, err error) {
	b.note.Key = b.key()
	if len(b.packageIDs()) == 0 {
		return false, ErrNoTwin
	}
	if b.cache.checkTree(b.note.Key) {
		return false, nil
	}
	tmp, err := os.MkdirTemp(b.cache.dir, "tmp-tree-")
	if err != nil {
		return false, fmt.Errorf("make twin: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := b.fill(ctx, tmp); err != nil {
		return false, fmt.Errorf("make twin: %w", err)
	}
	name := b.cache.path("tree-" + b.note.Key)
	if err := b.cache.removeTree(name); err != nil {
		return false, err
	}
	return true, os.Rename(tmp, name)
}

// removeTree takes a damaged tree away, unless somebody uses it.
func (c *cache) removeTree(name string) error {
	release, err := claim(name)
	if err != nil {
		return fmt.Errorf("replace damaged twin: %w", err)
	}
	defer release()
	err = os.Rename(name, c.path("tmp-old-"+filepath.Base(name)))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err // what is left is swept the next time
}
