// Package audit compares a Debian root with what its packages installed: the sums, the lists of files and of
// configuration files in dpkg's database. It promises that nothing in a hostile root is followed out of it, opened (but
// regular files and directories) or run, and bounded work. It knows nothing of runs.
package audit

import (
	"crypto/md5" //nolint:gosec // dpkg's sums are MD5
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/status"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/tree"
)

// Kind is what is wrong with a path.
type Kind string

// The kinds of findings.
const (
	Missing  Kind = "missing"  // a package's file is not there
	Changed  Kind = "changed"  // its content is not the package's
	Conffile Kind = "conffile" // the same of a configuration file
	Type     Kind = "type"     // the package has a file there, the root something else
	Unowned  Kind = "unowned"  // no package has it
	Unread   Kind = "unread"   // it could not be read
)

// Finding is one path, relative to the root.
type Finding struct {
	Kind          Kind
	Path, Package string
	Want, Got     string
}

// Result is what an audit found, sorted by path.
type Result struct {
	Findings []Finding
	Packages int
	NoSums   []string // packages that recorded no sums
}

// ErrNoDatabase: there are no packages to compare with.
var ErrNoDatabase = errors.New("no package database of dpkg in it (var/lib/dpkg/status): give two trees to compare")

const database = "var/lib/dpkg/"

// Limits of what is read from a database.
const (
	maxList  = 64 << 20 // bytes of one file
	maxPaths = 8 << 20  // paths in all
)

// Root audits the root at dir.
func Root(dir *os.File) (*Result, error) {
	db, err := read(dir)
	if err != nil {
		return nil, err
	}
	names, err := tree.Scan(dir, tree.Options{Hash: func(string) hash.Hash { return nil }, Tolerant: true})
	if err != nil {
		return nil, err
	}
	c := newComparison(db, names)
	sums, err := tree.Scan(dir, tree.Options{Tolerant: true, Hash: c.hash})
	if err != nil {
		return nil, err
	}
	c.tree = sums
	return c.compare(), nil
}

// owned is a path that a package has.
type owned struct {
	pkg      string
	sum      string // MD5 in hex, "" if unknown
	conffile bool
}

// packages is what the database says.
type packages struct {
	files  map[string]owned // by the path as packages spell it, relative
	count  int
	noSums []string
}

func read(dir *os.File) (*packages, error) {
	text, err := fd.ReadFile(dir, database+"status", status.LargestFile)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
		return nil, ErrNoDatabase
	}
	if err != nil {
		return nil, err
	}
	list, err := status.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read %sstatus: %w", database, err)
	}
	db := &packages{files: map[string]owned{}}
	diverted := map[string][2]string{} // path → where to, by whom
	if data, err := fd.ReadFile(dir, database+"diversions", maxList); err == nil {
		diverted = diversions(string(data))
	}
	conffiles := conffiles(string(text))
	for _, p := range list {
		if !p.HasFiles() {
			continue
		}
		db.count++
		if err := db.add(dir, p, diverted, conffiles[p.Name]); err != nil {
			return nil, err
		}
	}
	if db.count == 0 {
		return nil, ErrNoDatabase
	}
	slices.Sort(db.noSums)
	return db, nil
}

// add reads the lists of one package.
func (db *packages) add(dir *os.File, p status.Package, diverted map[string][2]string, conf map[string]string) error {
	list, err := info(dir, p, ".list")
	if err != nil {
		return fmt.Errorf("package %s: %w", p.Name, err)
	}
	sums, err := info(dir, p, ".md5sums")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		db.noSums = append(db.noSums, p.Name)
	case err != nil:
		return fmt.Errorf("package %s: %w", p.Name, err)
	}
	sum := md5sums(string(sums))
	for line := range strings.Lines(string(list)) {
		name, ok := relative(strings.TrimSuffix(line, "\n"))
		if !ok {
			continue
		}
		if len(db.files) >= maxPaths {
			return fmt.Errorf("%s names more than %d paths", database, maxPaths)
		}
		o := owned{pkg: p.Name, sum: sum[name]}
		if md5, ok := conf[name]; ok {
			o.sum, o.conffile = md5, true
		}
		if to, ok := diverted[name]; ok && to[1] != p.Name {
			name = to[0]
		}
		if old, ok := db.files[name]; !ok || old.sum == "" {
			db.files[name] = o
		}
	}
	return nil
}

// info reads a file of a package; that of a Multi-Arch: same package has the architecture in its name.
func info(dir *os.File, p status.Package, suffix string) ([]byte, error) {
	data, err := fd.ReadFile(dir, database+"info/"+p.Name+suffix, maxList)
	if errors.Is(err, fs.ErrNotExist) && p.Architecture != "" {
		return fd.ReadFile(dir, database+"info/"+p.Name+":"+p.Architecture+suffix, maxList)
	}
	return data, err
}

// comparison of a database with a tree.
type comparison struct {
	tree     *tree.Manifest
	database *packages
	files    map[string]owned // by the path without links on the way
	through  map[string]bool  // links on the way of packages' paths
}

func newComparison(db *packages, names *tree.Manifest) *comparison {
	c := &comparison{database: db, files: map[string]owned{}, through: map[string]bool{}}
	r := resolver{tree: names, known: map[string]string{"": ""}, through: c.through}
	for _, name := range slices.Sorted(maps.Keys(db.files)) {
		real := r.resolve(name)
		if old, ok := c.files[real]; !ok || old.sum == "" {
			c.files[real] = db.files[name]
		}
		// A package's directory may be a link to one here: that is the package's, too.
		if dir := r.directory(name, maxLinks); dir != real {
			if e, ok := names.Lookup(dir); ok && e.Type == tree.Dir {
				c.through[dir] = true
			}
		}
	}
	return c
}

// hash is MD5 for the files that have a sum.
func (c *comparison) hash(path string) hash.Hash {
	if len(c.files[path].sum) != 2*md5.Size {
		return nil
	}
	return md5.New() //nolint:gosec // as above
}

func (c *comparison) compare() *Result {
	r := &Result{Packages: c.database.count, NoSums: c.database.noSums}
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		o := c.files[name]
		e, ok := c.tree.Lookup(name)
		f := Finding{Path: name, Package: o.pkg}
		switch {
		case !ok:
			f.Kind, f.Want = Missing, o.sum
		case len(o.sum) != 2*md5.Size:
			continue
		case e.Type != tree.File:
			f.Kind, f.Want, f.Got = Type, string(tree.File), string(e.Type)
		case e.Unread != "":
			continue // told below
		case e.Hash == o.sum:
			continue
		default:
			f.Kind, f.Want, f.Got = Changed, o.sum, e.Hash
			if o.conffile {
				f.Kind = Conffile
			}
		}
		r.Findings = append(r.Findings, f)
	}
	r.Findings = append(r.Findings, c.others()...)
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	return r
}

// others are what couldn't be read, and what no package has; of a directory that no package has, only itself.
func (c *comparison) others() []Finding {
	var found []Finding
	above := "\x00"
	for _, e := range c.tree.Entries {
		if e.Unread != "" {
			found = append(found, Finding{Kind: Unread, Path: e.Path, Package: c.files[e.Path].pkg, Got: e.Unread})
		}
		_, has := c.files[e.Path]
		if e.Path == "." || has || c.through[e.Path] || strings.HasPrefix(e.Path, above) || c.ours(e) {
			continue
		}
		if e.Type == tree.Dir {
			above = e.Path + "/"
		}
		found = append(found, Finding{Kind: Unowned, Path: e.Path, Got: string(e.Type)})
	}
	return found
}

// nobodys are the places where packages, administrators and programs put files that no package lists.
var nobodys = []string{
	"boot", "dev", "etc", "home", "lost+found", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp",
	"usr/local", "var",
}

// ours says whether it is no wonder that no package has the entry.
func (c *comparison) ours(e tree.Entry) bool {
	for _, place := range nobodys {
		if e.Path == place || strings.HasPrefix(e.Path, place+"/") {
			return true
		}
	}
	if e.Type == tree.Symlink && strings.HasPrefix(e.Target, "/etc/alternatives/") {
		return true
	}
	return compiled(e.Path)
}

// compiled says whether it is python's compiled form of a module, made after the installation.
func compiled(path string) bool {
	return strings.HasSuffix(path, "/__pycache__") || strings.Contains(path, "/__pycache__/") && strings.HasSuffix(path, ".pyc")
}
