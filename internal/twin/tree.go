package twin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/crossroot/crossroot/internal/debian/status"
	"github.com/crossroot/crossroot/internal/kernel/at"
	"github.com/crossroot/crossroot/internal/kernel/flock"
)

// fill makes a twin in an empty directory: hard links to the packages' files, and a dpkg database.
func (b *builder) fill(ctx context.Context, dir string) error {
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o700); err != nil {
		return err
	}
	t, err := newTree(root, b.target)
	if err != nil {
		return err
	}
	defer t.close()
	db, err := newDatabase(root, b.target.diversions)
	if err != nil {
		return err
	}
	for _, p := range b.target.packages {
		c := b.note.Choices[p.Name]
		if c.SHA256 == "" || c.LeftOut {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		files, err := t.addPackage(p.Name, b.cache.path("package", c.id(p.Name)))
		if err != nil {
			return fmt.Errorf("package %s: %w", p.Name, err)
		}
		if err := db.add(p, c, files); err != nil {
			return err
		}
	}
	if err := t.mergeDirs(); err != nil {
		return err
	}
	if err := db.write(); err != nil {
		return err
	}
	for _, name := range db.made {
		f, err := describe(root, name)
		if err != nil {
			return err
		}
		t.files = append(t.files, f)
	}
	if err := os.WriteFile(filepath.Join(dir, "in-use"), nil, 0o600); err != nil {
		return err
	}
	return writeFiles(filepath.Join(dir, "record"), t.files)
}

// tree is a twin that grows. Packages may hold anything: no name is followed through a link, neither where it comes from
// nor where it goes.
type tree struct {
	target target
	files  []file
	root   *place
}

// place is a directory tree and the directories known in it.
type place struct {
	fd     *os.File
	cursor *at.Cursor
	dirs   map[string]*at.Dir
}

func openPlace(name string) (*place, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	top := &at.Dir{}
	cursor, err := at.NewCursor(int(f.Fd()), top)
	if err != nil {
		_ = f.Close()
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return &place{f, cursor, map[string]*at.Dir{".": top}}, nil
}

func (p *place) close() {
	p.cursor.Close()
	_ = p.fd.Close()
}

// dir is a directory's place; it is made, if it is to be made and isn't there.
func (p *place) dir(name string, make bool) (*at.Dir, error) {
	if d, ok := p.dirs[name]; ok {
		return d, nil
	}
	parent, err := p.dir(path.Dir(name), make)
	if err != nil {
		return nil, err
	}
	d := parent.Child(path.Base(name))
	if make {
		fd, err := p.cursor.Seek(parent)
		if err == nil {
			err = at.Mkdir(fd, d.Name)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	p.dirs[name] = d
	return d, nil
}

func newTree(root string, t target) (*tree, error) {
	p, err := openPlace(root)
	if err != nil {
		return nil, err
	}
	return &tree{target: t, root: p}, nil
}

func (t *tree) close() { t.root.close() }

// addPackage links a package's files and returns their names in the package. What is there already stays, as does what
// would have to go through a file or a link of another package.
func (t *tree) addPackage(name, dir string) ([]string, error) {
	files, ok := readRecord(filepath.Join(dir, "record"))
	if !ok {
		return nil, &os.PathError{Op: "read", Path: filepath.Join(dir, "record"), Err: errDamaged}
	}
	from, err := openPlace(filepath.Join(dir, "files"))
	if err != nil {
		return nil, err
	}
	defer from.close()
	var names []string
	for _, f := range files {
		names = append(names, f.name)
		to := t.destination(name, f.name)
		switch err := t.link(from, f.name, to); {
		case err == nil:
			t.files = append(t.files, file{to, f.size, f.time})
		case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
		default:
			return nil, &os.PathError{Op: "link", Path: filepath.Join(dir, "files", f.name), Err: err}
		}
	}
	return names, nil
}

func (t *tree) link(from *place, name, to string) error {
	source, err := from.dir(path.Dir(name), false)
	if err != nil {
		return err
	}
	dir, err := t.root.dir(path.Dir(to), true)
	if err != nil {
		return err
	}
	fromFD, err := from.cursor.Seek(source)
	if err != nil {
		return err
	}
	toFD, err := t.root.cursor.Seek(dir)
	if err != nil {
		return err
	}
	return at.Link(fromFD, path.Base(name), toFD, path.Base(to))
}

// destination is where a package's file lies in the root: below /usr in a merged one, elsewhere if it is diverted.
func (t *tree) destination(pkg, name string) string {
	for _, d := range t.target.diversions {
		if d.from == "/"+name && d.by != pkg && cleanPath(d.to) && wantedName(d.to[1:]) {
			name = d.to[1:]
			break
		}
	}
	if top, _, ok := strings.Cut(name, "/"); ok && slices.Contains(t.target.merged, top) {
		name = "usr/" + name
	}
	return name
}

func cleanPath(name string) bool {
	return len(name) > 1 && name[0] == '/' && path.Clean(name) == name && !strings.ContainsAny(name, "\r\x00")
}

// mergeDirs makes /bin and the like links where they are in the target.
func (t *tree) mergeDirs() error {
	fd, err := t.root.cursor.Seek(t.root.dirs["."])
	if err != nil {
		return err
	}
	for _, d := range t.target.merged {
		if _, ok := t.root.dirs["usr/"+d]; !ok {
			continue
		}
		err := at.MakeSymlink("usr/"+d, fd, d)
		if errors.Is(err, fs.ErrExist) { // base-files has brought it
			continue
		}
		if err != nil {
			return &os.PathError{Op: "make", Path: filepath.Join(t.root.fd.Name(), d), Err: err}
		}
		f, err := describe(t.root.fd.Name(), d)
		if err != nil {
			return err
		}
		t.files = append(t.files, f)
	}
	return nil
}

// database is the twin's dpkg database, as far as package toolroot reads it. Its directory is made before any package's
// file, and no package's file comes to lie there.
type database struct {
	root   string
	made   []string // files, below root
	status strings.Builder
}

const databaseDir = "var/lib/dpkg"

func newDatabase(root string, diversions []diversion) (*database, error) {
	d := &database{root: root}
	if err := os.MkdirAll(filepath.Join(root, databaseDir, "info"), 0o700); err != nil {
		return nil, err
	}
	var text strings.Builder
	for _, v := range diversions {
		fmt.Fprintf(&text, "%s\n%s\n%s\n", v.from, v.to, v.by)
	}
	return d, d.create("diversions", text.String())
}

func (d *database) create(name, text string) error {
	name = databaseDir + "/" + name
	d.made = append(d.made, name)
	f, err := os.OpenFile(filepath.Join(d.root, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// add notes a package and its files.
func (d *database) add(p status.Package, c choice, files []string) error {
	fmt.Fprintf(&d.status, "Package: %s\nStatus: install ok installed\nArchitecture: %s\nVersion: %s\n\n", p.Name, c.Arch, c.Version)
	return d.create("info/"+p.Name+".list", "/"+strings.Join(files, "\n/")+"\n")
}

func (d *database) write() error { return d.create("status", d.status.String()) }

// claim locks a tree that nobody uses, or that isn't there.
func claim(tree string) (release func(), err error) {
	f, err := openRegular(filepath.Join(tree, "in-use"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, errDamaged) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := flock.Exclusive(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
