package transaction

import (
	"errors"
	"syscall"

	"github.com/crossroot/crossroot/internal/kernel/at"
)

// The kernel's overlay breaks hard links: written through one name, a lower inode with several names becomes an upper
// inode of its own under that name alone, and without the mark "origin" that other copied-up inodes have (Linux 6.18,
// ovl_copy_up_one), so that it looks like a file that was put in the place of the old one. What tells the two apart is
// the access time: copying up keeps it, and where the overlay is mounted noatime nothing but utimes changes it.

// linkGroup is an inode of ROOT with several names, at least one of which the run touched.
type linkGroup struct {
	written []written // names that now have a regular upper file
	touched []place   // these names and those that are gone
	nlink   int
}

type written struct {
	at      place
	staged  place
	upper   at.Inode
	through bool // the old inode was written to through this name, rather than replaced
}

// noteGone takes in that a name of ROOT goes away.
func (w *walker) noteGone(dir *at.Dir, name string, low at.Stat) {
	if g := w.linkGroup(low); g != nil {
		g.touched = append(g.touched, place{dir, name})
	}
}

// noteReplaced takes in that a name of ROOT gets another inode, staged at to.
func (w *walker) noteReplaced(e *entry, low at.Stat, to place) {
	g := w.linkGroup(low)
	if g == nil {
		return
	}
	here := place{e.dir, e.name}
	g.touched = append(g.touched, here)
	if e.st.Type == at.File && !e.marks.origin {
		g.written = append(g.written, written{at: here, staged: to, upper: e.st.Inode, through: e.st.Atime == low.Atime})
	}
}

func (w *walker) linkGroup(low at.Stat) *linkGroup {
	if low.Type != at.File || low.Nlink < 2 {
		return nil
	}
	g := w.links[low.Inode]
	if g == nil {
		g = &linkGroup{nlink: int(low.Nlink)}
		w.links[low.Inode] = g
	}
	return g
}

// through returns the name through which the inode was written, and whether all such names have one upper inode.
func (g *linkGroup) through() (written, bool) {
	var first written
	for _, n := range g.written {
		switch {
		case !n.through:
		case first.at.dir == nil:
			first = n
		case first.upper != n.upper:
			return n, false
		}
	}
	return first, first.at.dir != nil
}

// hardLinks finds the other names of files that were written through one, by a scan of ROOT, and plans to link them
// anew. It scans only if there is such a file.
func (w *walker) hardLinks() error {
	open := map[at.Inode]*linkGroup{}
	for ino, g := range w.links {
		if len(g.written) == 0 {
			continue
		}
		if n, one := g.through(); !one && n.at.dir != nil {
			w.warn("%q: it was one file under several names; they were written separately and are separate files now", n.at.path())
		}
		if len(g.touched) < g.nlink {
			open[ino] = g
		}
	}
	if len(open) == 0 {
		return nil
	}
	s := &linkScan{w: w, open: open, touched: map[string]bool{}, merged: map[string]*merged{}}
	for _, g := range open {
		for _, p := range g.touched {
			s.touched[p.path()] = true
		}
	}
	for _, m := range w.merged {
		s.merged[m.dir.Path()] = m
	}
	return s.dir(w.p.top)
}

// linkScan looks through all of ROOT.
type linkScan struct {
	w       *walker
	open    map[at.Inode]*linkGroup
	touched map[string]bool
	merged  map[string]*merged
}

func (s *linkScan) dir(d *at.Dir) error {
	fd, err := s.w.low.Seek(d)
	if err != nil {
		return failed("open", d.Path(), err)
	}
	names, err := at.Names(fd)
	if err != nil {
		return failed("list", d.Path(), err)
	}
	for _, name := range names {
		if err := s.w.tick(d, name); err != nil {
			return err
		}
		if fd, err = s.w.low.Seek(d); err != nil {
			return failed("open", d.Path(), err)
		}
		st, err := at.Lstat(fd, name)
		if err != nil {
			return failed("stat", d.Join(name), err)
		}
		switch st.Type {
		case at.Directory:
			err = s.dir(d.Child(name))
			if errors.Is(err, syscall.EXDEV) {
				err = nil // a mount: no name of an inode of ours is in it
			}
		case at.File:
			err = s.file(d, name, st)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *linkScan) file(d *at.Dir, name string, st at.Stat) error {
	g := s.open[st.Inode]
	if g == nil || s.touched[d.Join(name)] {
		return nil
	}
	n, one := g.through()
	if !one {
		if n.at.dir == nil {
			n = g.written[0]
		}
		s.w.warn("%q and %q were one file; the first was replaced, the second keeps the old content", n.at.path(), d.Join(name))
		return nil
	}
	m, err := s.parent(d)
	if err != nil {
		return err
	}
	m.touched = true
	to := s.w.nextEntry()
	s.w.addStage(&linkOp{from: n.staged, to: to})
	s.w.changed(d, name, Changed, at.File)
	s.w.p.publish = append(s.w.p.publish, &putOp{dir: d, name: name, entry: to.name, old: &st})
	return nil
}

// parent is the directory that stays; one that the run didn't touch keeps its times.
func (s *linkScan) parent(d *at.Dir) (*merged, error) {
	path := d.Path()
	if m := s.merged[path]; m != nil {
		return m, nil
	}
	fd, err := s.w.low.Seek(d)
	if err != nil {
		return nil, failed("open", path, err)
	}
	st, err := at.Fstat(fd)
	if err != nil {
		return nil, failed("stat", path, err)
	}
	m := &merged{dir: d, upper: st, lower: st}
	s.merged[path] = m
	s.w.merged = append(s.w.merged, m)
	return m, nil
}
