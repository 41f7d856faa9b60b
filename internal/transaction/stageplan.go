package transaction

import (
	"github.com/crossroot/crossroot/internal/kernel/at"
)

// place is a name in a directory of one of the trees.
type place struct {
	dir  *at.Dir
	name string
}

func (p place) path() string { return p.dir.Join(p.name) }

// child is the place itself as a directory.
func (p place) child() *at.Dir { return p.dir.Child(p.name) }

// stageTree plans the staging of an entry and all below it. shadow: ROOT has a directory in the same place, which goes
// away with it.
func (w *walker) stageTree(e *entry, to place, shadow bool) error {
	if w.p.sameMount {
		if err := w.tidyTree(e, shadow); err != nil {
			return err
		}
		w.addStage(&moveOp{from: place{e.dir, e.name}, to: to})
		return nil
	}
	if e.st.Type != at.Directory {
		w.stageOne(e, to)
		return nil
	}
	w.p.inodes++
	w.addStage(&mkdirOp{to: to})
	below := to.child()
	err := w.below(e, shadow, func(c *entry, shadow bool) error {
		return w.stageTree(c, place{below, c.name}, shadow)
	}, nil)
	if err != nil {
		return err
	}
	w.addStage(&finishOp{dir: below, from: e.child, st: e.st, attrs: e.attrs})
	return nil
}

// stageOne plans the staging of one entry that is not a directory.
func (w *walker) stageOne(e *entry, to place) {
	if e.st.Nlink > 1 {
		if first, ok := w.groups[e.st.Inode]; ok {
			w.addStage(&linkOp{from: first, to: to})
			return
		}
		w.groups[e.st.Inode] = to
	}
	w.p.inodes++
	from := place{e.dir, e.name}
	if n, ok := w.node(e); ok {
		w.addStage(&nodeOp{to: to, node: n, st: e.st, make: w.p.o.MakeNode})
		return
	}
	switch e.st.Type {
	case at.File:
		w.p.bytes += min(e.st.Size, e.st.Blocks*512)
		w.addStage(&copyOp{from: from, to: to, st: e.st, attrs: e.attrs})
	case at.Symlink:
		w.addStage(&symlinkOp{from: from, to: to, st: e.st})
	case at.FIFO:
		w.addStage(&fifoOp{from: from, to: to, st: e.st, attrs: e.attrs})
	}
}

// tidyTree plans what must be done to an entry, and all below it, before it can be moved out of the upper as it is.
func (w *walker) tidyTree(e *entry, shadow bool) error {
	from := place{e.dir, e.name}
	if n, ok := w.node(e); ok {
		w.addStage(&nodeOp{to: from, inUpper: true, node: n, st: e.st, make: w.p.o.MakeNode})
		return nil
	}
	if e.st.Type != at.Directory {
		if len(e.marks.own) > 0 {
			w.addStage(&stripOp{from: from, attrs: e.marks.own})
		}
		return nil
	}
	disturbed := false
	err := w.below(e, shadow, func(c *entry, shadow bool) error {
		if _, ok := w.node(c); ok {
			disturbed = true
		}
		return w.tidyTree(c, shadow)
	}, func(c *entry) {
		disturbed = true
		w.addStage(&dropOp{from: place{c.dir, c.name}, directory: c.child != nil})
	})
	if err != nil {
		return err
	}
	if len(e.marks.own) > 0 {
		w.addStage(&stripOp{from: from, dir: e.child, attrs: e.marks.own})
	}
	if disturbed {
		w.addStage(&timesOp{dir: e.child, st: e.st})
	}
	return nil
}

// below goes through the entries of a directory that is new as a whole: visit those that are carried over, leave (if
// not nil) the others. It reports the changes, and with shadow also what is deleted of ROOT's directory.
func (w *walker) below(e *entry, shadow bool, visit func(*entry, bool) error, leave func(*entry)) error {
	names, err := w.upperNames(e.child)
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, name := range names {
		c, err := w.entry(e.child, name)
		if err != nil {
			return err
		}
		skip, err := w.skipNew(c)
		if err != nil {
			return err
		}
		if skip {
			if leave != nil {
				leave(c)
			}
			continue
		}
		dirs, err := w.shadowed(c, shadow, kept)
		if err != nil {
			return err
		}
		if err := visit(c, dirs); err != nil {
			return err
		}
	}
	if shadow {
		return w.deletedBelow(e.child, kept)
	}
	return nil
}

// skipNew says that an entry of a new directory is not carried over.
func (w *walker) skipNew(c *entry) (bool, error) {
	white, err := c.isWhiteout(marks{})
	if err != nil {
		return false, err
	}
	if white {
		return false, &Refusal{Path: c.path(), Why: "it is marked as deleted in a directory that hides the target root's"}
	}
	if ours, err := w.isDropped(c); ours || err != nil {
		return ours, err
	}
	return !w.carried(c), nil
}

// shadowed reports an entry of a new directory; it returns whether ROOT has a directory in the same place.
func (w *walker) shadowed(c *entry, shadow bool, kept map[string]bool) (bool, error) {
	if !shadow {
		w.changed(c.dir, c.name, Added, c.st.Type)
		return false, nil
	}
	low, err := w.lower(c.dir, c.name)
	if err != nil {
		return false, err
	}
	if low == nil {
		w.changed(c.dir, c.name, Added, c.st.Type)
		return false, nil
	}
	kept[c.name] = true
	if err := w.checkReplaced(c.dir, c.name, *low); err != nil {
		return false, err
	}
	w.noteGone(c.dir, c.name, *low)
	if low.Type == at.Directory && c.st.Type == at.Directory {
		return true, nil
	}
	w.changed(c.dir, c.name, Changed, c.st.Type)
	if low.Type == at.Directory {
		return false, w.deletedBelow(c.dir.Child(c.name), nil)
	}
	return false, nil
}

func (w *walker) addStage(op stageOp) { w.p.stage = append(w.p.stage, op) }
