// Package state reads what of a Debian root decides about its twin: dpkg's database, its diversions, and whether /usr is
// merged.
//
// It promises bounded work on hostile files and a database as it was at one moment, although dpkg may be writing it. It
// must not know where packages come from, nor what a twin looks like.
package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/status"
	"github.com/crossroot/crossroot/internal/kernel/fd"
)

// Limits of Read in bytes, for all files together.
const (
	Largest         = status.LargestFile
	LargestWhileRun = 16 << 20 // of a database that a run changed; that of a large desktop has 5 MB
)

const (
	maxUpdates        = 5000 // dpkg itself merges them at 250
	largestDiversions = 4 << 20
)

// ErrNone says that there is no database.
var ErrNone = errors.New("no Debian packages in it: there is no /var/lib/dpkg/status")

// State is what was read, as it lies in the files.
type State struct {
	Status     []byte
	Updates    [][]byte // in dpkg's order
	Diversions []byte
	Merged     []string // those of TopDirs that are links to usr/…
}

const dir = "var/lib/dpkg/"

// Files are the names of what Read reads, but for TopDirs.
var Files = []string{dir + "status", dir + "updates", dir + "diversions"}

// TopDirs are those that a root may have merged into /usr.
var TopDirs = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"}

// Read reads a root of which at most limit bytes are believed. Errors are ErrNone and those of the file system.
func Read(root *os.File, limit int64) (State, error) {
	const tries = 5
	for try := 1; ; try++ {
		s, whole, err := read(root, limit)
		if err != nil || whole || try == tries {
			return s, err
		}
	}
}

// read reads once; whole is false if dpkg moved something from updates to status meanwhile.
func read(root *os.File, limit int64) (s State, whole bool, err error) {
	before, err := moment(root)
	if err != nil {
		return s, false, err
	}
	take := func(name string) ([]byte, error) {
		text, err := fd.ReadFile(root, name, limit)
		limit -= int64(len(text))
		return text, err
	}
	if s.Status, err = take(dir + "status"); errors.Is(err, fs.ErrNotExist) {
		return s, false, ErrNone
	} else if err != nil {
		return s, false, err
	}
	for _, n := range before.updates {
		text, err := take(dir + "updates/" + n)
		if errors.Is(err, fs.ErrNotExist) {
			return s, false, nil
		}
		if err != nil {
			return s, false, err
		}
		s.Updates = append(s.Updates, text)
	}
	// dpkg goes without diversions if there are none; one that can't be read moves nothing.
	s.Diversions, _ = fd.ReadFile(root, dir+"diversions", largestDiversions)
	for _, d := range TopDirs {
		if merged(root, d) {
			s.Merged = append(s.Merged, d)
		}
	}
	after, err := moment(root)
	return s, err == nil && after.status == before.status && slices.Equal(after.updates, before.updates), err
}

// seen is what tells one moment of the database from another.
type seen struct {
	status  string
	updates []string
}

func moment(root *os.File) (seen, error) {
	var m seen
	if st, err := fd.Lstat(root, dir+"status"); err == nil {
		m.status = fmt.Sprint(st.Ino, st.Size, st.Mtim, st.Ctim)
	}
	names, err := fd.Readdirnames(root, dir+"updates")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	if m.updates = status.Updates(names); len(m.updates) > maxUpdates {
		return m, fmt.Errorf("read /%supdates: more than %d files", dir, maxUpdates)
	}
	return m, nil
}

// merged says whether a name of the root is a link to the directory of that name in usr.
func merged(root *os.File, name string) bool {
	st, err := fd.Lstat(root, name)
	if err != nil || st.Mode&0o170000 != 0o120000 {
		return false
	}
	link, err := fd.Open(root, name, 0, 0)
	if err != nil {
		return false
	}
	defer func() { _ = link.Close() }()
	usr, err := fd.Open(root, "usr/"+name, 0, 0)
	if err != nil {
		return false
	}
	defer func() { _ = usr.Close() }()
	a, errA := link.Stat()
	b, errB := usr.Stat()
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// Packages are those of an architecture whose files are there, by name. Errors wrap status.ErrSyntax.
func (s State) Packages(arch string) ([]status.Package, error) {
	all, err := status.Parse(s.Status)
	if err != nil {
		return nil, fmt.Errorf("read /%sstatus: %w", dir, err)
	}
	updates := make([][]status.Package, len(s.Updates))
	for i, text := range s.Updates {
		if updates[i], err = status.Parse(text); err != nil {
			return nil, fmt.Errorf("read /%supdates: %w", dir, err)
		}
	}
	all = status.Merge(all, updates...)
	all = slices.DeleteFunc(all, func(p status.Package) bool { return !p.HasFiles() || p.Architecture != arch })
	slices.SortFunc(all, func(a, b status.Package) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Sum tells states apart as far as a twin of an architecture's packages depends on them.
func (s State) Sum(arch string) (string, error) {
	packages, err := s.Packages(arch)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, p := range packages {
		fmt.Fprintf(h, "%s %s\n", p.Name, p.Version)
	}
	fmt.Fprintf(h, "%q %q\n", s.Merged, s.Diversions)
	return hex.EncodeToString(h.Sum(nil)), nil
}
