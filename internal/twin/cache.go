package twin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/crossroot/crossroot/internal/kernel/flock"
	"github.com/crossroot/crossroot/internal/twin/state"
)

// cache is the directory where twins are kept:
//
//	lock              held while something is built or deleted
//	root-ID           a note on a root, JSON; ID is made from its path and the two architectures
//	root-ID-run       a note on what the last run made of it, whether it was kept or not
//	package/ID/       an unpacked package: files/, and record, which names them
//	tree-KEY/root     a twin, hard links into package/*; tree-KEY/record names its files
//	tree-KEY/in-use   locked (shared) by whoever uses it
//	tmp-*             being made, or left by one who was killed
type cache struct{ dir string }

const format = 2 // of everything in it

const largestNote = 64 << 20 // bytes

// ErrOwner says that the cache belongs to somebody else, who could put anything into it.
var ErrOwner = errors.New("owned by another user, or writable by others")

func openCache(dir string) (*cache, error) {
	if dir == "" {
		return nil, errors.New("open cache: no directory")
	}
	c := &cache{filepath.Join(dir, "twins")}
	if err := os.MkdirAll(c.path("package"), 0o700); err != nil {
		return nil, fmt.Errorf("make cache: %w", err)
	}
	for _, d := range []string{dir, c.dir, c.path("package")} {
		info, err := os.Lstat(d)
		if d == dir {
			info, err = os.Stat(d)
		}
		if err != nil {
			return nil, fmt.Errorf("open cache: %w", err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !info.IsDir() || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
			return nil, &os.PathError{Op: "open cache", Path: d, Err: ErrOwner}
		}
	}
	return c, nil
}

func (c *cache) path(elements ...string) string {
	return filepath.Join(append([]string{c.dir}, elements...)...)
}

// lock waits until nobody else builds or deletes.
func (c *cache) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(c.path("lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock cache: %w", err)
	}
	for {
		switch err := flock.Exclusive(f); {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case !errors.Is(err, flock.ErrLocked):
			_ = f.Close()
			return nil, fmt.Errorf("lock cache: %w", err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("wait for another crossroot that builds a twin: %w", ctx.Err())
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// sweep deletes what builders that were killed left. The lock is held.
func (c *cache) sweep() {
	left, _ := filepath.Glob(c.path("tmp-*")) // the pattern is right
	for _, name := range left {
		_ = os.RemoveAll(name) // tried again next time
	}
}

// choice is the package that was chosen for one of the root's.
type choice struct {
	Want    string `json:"want"` // the root's version
	Version string `json:"version,omitempty"`
	Arch    string `json:"arch,omitempty"`
	SHA256  string `json:"sha256,omitempty"` // of its file
	LeftOut bool   `json:"left_out,omitempty"`
	Unasked bool   `json:"unasked,omitempty"` // the repository couldn't be had
}

// note is what is known of a root.
type note struct {
	Format  int               `json:"format"`
	Root    string            `json:"root"`    // path
	Files   map[string]string `json:"files"`   // identify
	Sum     string            `json:"sum"`     // target.sum
	Key     string            `json:"key"`     // of the tree
	From    string            `json:"from"`    // Twin.From
	Choices map[string]choice `json:"choices"` // by the package's name
	Failure *Failure          `json:"failure,omitempty"`
}

// Failure is why the repository couldn't be had when it was tried last.
type Failure struct {
	When time.Time `json:"when"`
	Text string    `json:"text"`
	// Offline: it was not to be asked at all.
	Offline bool `json:"offline,omitempty"`
}

func (f *Failure) Error() string { return f.Text }

// describes says whether a root is as it was.
func (n note) describes(files map[string]string) bool {
	if n.Key == "" && n.Failure == nil || len(n.Files) != len(files) {
		return false
	}
	for name, was := range n.Files {
		if files[name] != was {
			return false
		}
	}
	return true
}

func (c *cache) noteName(root *os.File, o Options) string {
	sum := sha256.Sum256([]byte(root.Name() + "\x00" + o.Target.Name + "\x00" + o.Host.Name))
	name := "root-" + hex.EncodeToString(sum[:8])
	if o.State != nil {
		name += "-run"
	}
	return c.path(name)
}

// readOtherNote reads the note on the root after a run, if o is about its start, and the other way round.
func (c *cache) readOtherNote(root *os.File, o Options) note {
	if o.State == nil {
		o.State = &state.State{}
	} else {
		o.State = nil
	}
	return c.readNote(root, o)
}

// readNote reads the note on a root; one that can't be read is empty.
func (c *cache) readNote(root *os.File, o Options) note {
	var n note
	text, err := readFile(c.noteName(root, o), largestNote)
	if err != nil || json.Unmarshal(text, &n) != nil || n.Format != format {
		return note{}
	}
	return n
}

func (c *cache) writeNote(root *os.File, o Options, n note) error {
	n.Format, n.Root = format, root.Name()
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	name := c.noteName(root, o)
	tmp := filepath.Join(c.dir, "tmp-"+filepath.Base(name))
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return fmt.Errorf("write note: %w", err)
	}
	return os.Rename(tmp, name)
}

// use opens the tree that a note names.
func (c *cache) use(n note) (*Twin, error) {
	if !isKey(n.Key) {
		return nil, fs.ErrNotExist
	}
	tree := c.path("tree-" + n.Key)
	f, err := openRegular(filepath.Join(tree, "in-use"))
	if err != nil {
		return nil, fmt.Errorf("open twin: %w", err)
	}
	if err := flock.Shared(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	t := &Twin{Key: n.Key, Dir: filepath.Join(tree, "root"), From: n.From, inUse: f}
	if _, err := os.Stat(filepath.Join(tree, "record")); err != nil { // made last, deleted first
		_ = f.Close()
		return nil, fmt.Errorf("open twin: %w", err)
	}
	t.describe(n)
	return t, nil
}

func isKey(key string) bool {
	_, err := hex.DecodeString(key)
	return err == nil && len(key) == keyLength
}
