package transaction

import (
	"github.com/crossroot/crossroot/internal/kernel/at"
)

// entry is one name in an upper directory.
type entry struct {
	dir   *at.Dir // where it is
	name  string
	child *at.Dir // as a place, if it is a directory
	st    at.Stat
	attrs []string
	marks marks
}

func (e *entry) path() string { return e.dir.Join(e.name) }

// carried says whether a commit can carry the entry over; if not, there is a warning.
func (w *walker) carried(e *entry) bool {
	if e.st.Type == at.Socket {
		w.warn("%q: a socket is not carried over", e.path())
		return false
	}
	if _, ok := w.node(e); ok && w.p.o.MakeNode == nil {
		w.warn("%q: the device node can't be made without privilege; the root has none there", e.path())
		return false
	}
	return true
}

// node finds the device node that a placeholder stands for.
func (w *walker) node(e *entry) (Node, bool) {
	if len(w.p.o.Nodes) == 0 || e.st.Type != at.File || e.st.Size != 0 {
		return Node{}, false
	}
	n, ok := w.p.o.Nodes[e.path()]
	return n, ok
}

func (w *walker) isDropped(e *entry) (bool, error) {
	if len(w.drop) == 0 || e.child == nil || !w.drop[e.path()] {
		return false, nil
	}
	fd, err := w.up.Seek(e.child)
	if err != nil {
		return false, failed("open", e.path(), err)
	}
	return at.Empty(fd)
}

// isWhiteout refuses device nodes of any other kind: the kernel doesn't let a command in a user namespace make them.
func (e *entry) isWhiteout(dirMarks marks) (bool, error) {
	switch {
	case e.st.Type == at.CharDevice && e.st.RdevMajor == 0 && e.st.RdevMinor == 0:
		return true, nil
	case e.marks.whiteout && dirMarks.xwhiteouts && e.st.Type == at.File && e.st.Size == 0:
		return true, nil
	case e.marks.whiteout:
		return false, &Refusal{Path: e.path(), Why: "it is marked as deleted where no such mark may be"}
	case e.st.Type == at.CharDevice || e.st.Type == at.BlockDevice || e.st.Type == at.Unknown:
		return false, &Refusal{Path: e.path(), Why: "there is a " + e.st.Type.String() + " in the upper directory"}
	}
	return false, nil
}

func (w *walker) entry(dir *at.Dir, name string) (*entry, error) {
	if err := w.tick(dir, name); err != nil {
		return nil, err
	}
	e := &entry{dir: dir, name: name}
	fd, err := w.up.Seek(dir)
	if err != nil {
		return nil, failed("open", dir.Path(), err)
	}
	if e.st, err = at.Lstat(fd, name); err != nil {
		return nil, failed("stat", e.path(), err)
	}
	if e.st.Type == at.Directory {
		e.child = dir.Child(name)
	}
	if e.st.Type == at.CharDevice || e.st.Type == at.BlockDevice {
		return e, nil
	}
	names, err := at.Xattrs(fd, name, e.st.Type)
	if err != nil {
		return nil, failed("list attributes", e.path(), err)
	}
	if len(names) > 0 {
		e.attrs, e.marks, err = w.sortAttrs(e.path, names, w.dirAttr(e.child))
	}
	return e, err
}

// dirAttr reads attributes of an upper directory; the overlay gives values only to directories.
func (w *walker) dirAttr(d *at.Dir) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if d == nil {
			return nil, nil
		}
		fd, err := w.up.Seek(d)
		if err != nil {
			return nil, err
		}
		return at.Fgetxattr(fd, name)
	}
}

func (w *walker) upperNames(d *at.Dir) ([]string, error) {
	fd, err := w.up.Seek(d)
	if err != nil {
		return nil, failed("open", d.Path(), err)
	}
	names, err := at.Names(fd)
	if err != nil {
		return nil, failed("list", d.Path(), err)
	}
	return names, nil
}
