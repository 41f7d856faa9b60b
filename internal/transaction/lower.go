package transaction

import (
	"errors"

	"github.com/crossroot/crossroot/internal/kernel/at"
)

// lower describes what ROOT has at name in dir, nil if nothing. What an overlay can't have shown as it is, is a
// *Refusal: the command worked on something else than ROOT.
func (w *walker) lower(dir *at.Dir, name string) (*at.Stat, error) {
	fd, err := w.low.Seek(dir)
	if err != nil {
		return nil, failed("open", dir.Path(), err)
	}
	st, err := at.Lstat(fd, name)
	if notExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, failed("stat", dir.Join(name), err)
	}
	// Only directories tell: on an overlay with layers of several file systems, files have other numbers.
	if st.Type == at.Directory && (st.Major != w.p.device.Major || st.Minor != w.p.device.Minor) {
		return nil, &Refusal{Path: dir.Join(name), Why: "it is on another file system or subvolume than the top of the root"}
	}
	if st.Type == at.CharDevice && st.RdevMajor == 0 && st.RdevMinor == 0 {
		return nil, &Refusal{Path: dir.Join(name), Why: "the target root has a character device 0:0 there, which an overlay takes for a deleted file",
			Remedy: "remove it from the root"}
	}
	return &st, nil
}

// checkLowerDir looks at a directory of ROOT that the run went through.
func (w *walker) checkLowerDir(d *at.Dir, st at.Stat) error {
	fd, err := w.low.Seek(d)
	if err != nil {
		return failed("open", d.Path(), err)
	}
	names, err := at.Fxattrs(fd)
	if err != nil {
		return failed("list attributes", d.Path(), err)
	}
	return checkLowerAttrs(d.Path, names)
}

func checkLowerAttrs(path func() string, names []string) error {
	for _, name := range names {
		if isOverlay(name) {
			return &Refusal{Path: path(), Why: "in the target root it has the attribute " + quote(name) + ", which belongs to an overlay file system",
				Remedy: "remove it with setfattr -x " + name}
		}
	}
	return nil
}

// checkReplaced looks at an entry of ROOT that will be moved away.
func (w *walker) checkReplaced(dir *at.Dir, name string, st at.Stat) error {
	path := func() string { return dir.Join(name) }
	if st.Locked {
		return &Refusal{Path: path(), Why: "in the target root it is immutable or append-only", Remedy: "chattr -ia"}
	}
	if w.changedSince(st) {
		return &Conflict{Path: path(), Why: "it was changed in the target root while the command ran"}
	}
	if st.Type != at.File && st.Type != at.Directory {
		return nil
	}
	fd, err := w.low.Seek(dir)
	if err != nil {
		return failed("open", dir.Path(), err)
	}
	names, err := at.Xattrs(fd, name, st.Type)
	if err != nil {
		return failed("list attributes", path(), err)
	}
	return checkLowerAttrs(path, names)
}

// changedSince compares the time of the last change with the start of the run. A time in the future proves nothing:
// the clock was wrong once.
func (w *walker) changedSince(st at.Stat) bool {
	start := w.p.o.Started
	return start != (at.Time{}) && !st.Ctime.Before(start) && st.Ctime.Before(w.latest)
}

// soon is a second from now: times of change are finer than at.Clock, and of other machines on network file systems.
func soon() at.Time {
	t := at.Clock()
	t.Sec++
	return t
}

// compare says how an upper entry differs from what ROOT has in its place: "" for not at all. Copied up but never
// written, a file is found equal by content, which only happens when its size and time are equal.
func (w *walker) compare(e *entry, low at.Stat) (Kind, error) {
	up := e.st
	if up.Type != low.Type || up.Type == at.Directory {
		return Changed, nil
	}
	if up.Size != low.Size || up.Mtime != low.Mtime && up.Type == at.File {
		return Changed, nil
	}
	if _, ok := w.node(e); ok {
		return Changed, nil
	}
	same, err := w.sameContent(e, low)
	if err != nil || !same {
		return Changed, err
	}
	attrs, err := w.sameFileAttrs(e)
	if err != nil {
		return "", err
	}
	if attrs && up.Mode == low.Mode && up.UID == low.UID && up.GID == low.GID && up.Mtime == low.Mtime && up.Nlink == 1 {
		return "", nil
	}
	return Metadata, nil
}

func (w *walker) sameContent(e *entry, low at.Stat) (bool, error) {
	u, err := w.up.Seek(e.dir)
	if err != nil {
		return false, failed("open", e.dir.Path(), err)
	}
	l, err := w.low.Seek(e.dir)
	if err != nil {
		return false, failed("open", e.dir.Path(), err)
	}
	switch e.st.Type {
	case at.Symlink:
		a, errA := at.Readlink(u, e.name)
		b, errB := at.Readlink(l, e.name)
		if err := errors.Join(errA, errB); err != nil {
			return false, failed("read link", e.path(), err)
		}
		return a == b, nil
	case at.File:
		same, err := at.SameContent(w.ctx, u, l, e.name, e.st.Size)
		if err != nil {
			return false, failed("compare", e.path(), err)
		}
		return same, nil
	}
	return true, nil
}

func (w *walker) sameFileAttrs(e *entry) (bool, error) {
	if e.st.Type != at.File {
		return len(e.attrs) == 0, nil
	}
	u, err := w.up.Seek(e.dir)
	if err != nil {
		return false, failed("open", e.dir.Path(), err)
	}
	l, err := w.low.Seek(e.dir)
	if err != nil {
		return false, failed("open", e.dir.Path(), err)
	}
	a, err := at.OpenFile(u, e.name)
	if err != nil {
		return false, failed("open", e.path(), err)
	}
	defer at.Close(a)
	b, err := at.OpenFile(l, e.name)
	if err != nil {
		return false, failed("open", e.path(), err)
	}
	defer at.Close(b)
	same, err := sameAttrs(e.attrs, a, b)
	if err != nil {
		return false, failed("read attributes", e.path(), err)
	}
	return same, nil
}

// compareDir finds out whether a directory that stays has other metadata than before.
func (w *walker) compareDir(m *merged) error {
	u, err := w.up.Seek(m.dir)
	if err != nil {
		return failed("open", m.dir.Path(), err)
	}
	l, err := w.low.Seek(m.dir)
	if err != nil {
		return failed("open", m.dir.Path(), err)
	}
	same, err := sameAttrs(m.attrs, u, l)
	if err != nil {
		return failed("read attributes", m.dir.Path(), err)
	}
	m.differs = !same || m.upper.Mode != m.lower.Mode || m.upper.UID != m.lower.UID || m.upper.GID != m.lower.GID
	if m.differs && w.changedSince(m.lower) {
		return &Conflict{Path: m.dir.Path(), Why: "owner, mode or attributes were changed in the target root while the command ran"}
	}
	return nil
}

// planMeta plans the last step: owners, modes, attributes and times of the directories that stay.
func (w *walker) planMeta() error {
	for _, m := range w.merged {
		times := m.upper.Mtime != m.lower.Mtime && !(m.dropped && !m.touched)
		if !m.differs && !m.touched && !times {
			continue
		}
		if m.lower.Locked {
			return &Refusal{Path: m.dir.Path(), Why: "in the target root this directory is immutable or append-only, and something in it changed",
				Remedy: "chattr -ia"}
		}
		if m.differs || !m.touched {
			w.changed(m.dir, "", Metadata, at.Directory)
		}
		w.p.meta = append(w.p.meta, &metaOp{dir: m.dir, old: m.lower, new: m.upper, attrs: m.attrs, differs: m.differs})
	}
	return nil
}
