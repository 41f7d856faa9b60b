package transaction

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"syscall"

	"github.com/crossroot/crossroot/internal/kernel/at"
)

// maxPath bounds the paths that a run may leave behind (bytes): four times what any system call takes.
const maxPath = 16 << 10

// walker reads the upper and, where it covers something, the lower.
type walker struct {
	ctx     context.Context
	p       *Plan
	up, low *at.Cursor
	drop    map[string]bool
	latest  at.Time            // a later time of change was made by a wrong clock
	groups  map[at.Inode]place // first staged name of each upper inode with several names
	links   map[at.Inode]*linkGroup
	merged  []*merged
	count   int
}

// merged is a directory that both trees have and that stays in place.
type merged struct {
	dir          *at.Dir
	upper, lower at.Stat
	attrs        []string // portable attributes of the upper one, sorted
	differs      bool     // owner, mode or attributes
	touched      bool     // an operation changes one of its entries
	dropped      bool     // crossroot's own mount point was in it
}

// Inspect reads what a run left in upper, over lower, and plans the commit. It changes nothing. Errors are *Refusal
// (hostile or unusable content), *Conflict (lower changed meanwhile), ctx's, or of the failing call with its path.
// Both descriptors, of directories, by O_PATH if need be, must stay open until the plan is done with; owners and capabilities are seen through the
// caller's user namespace and the mounts' id maps.
func Inspect(ctx context.Context, upper, lower *os.File, o Options) (*Plan, error) {
	p := &Plan{upper: upper, lower: lower, top: &at.Dir{}, o: o, sameMount: o.SameMount}
	w := &walker{ctx: ctx, p: p, drop: map[string]bool{}, latest: soon(),
		groups: map[at.Inode]place{}, links: map[at.Inode]*linkGroup{}}
	for _, d := range o.Drop {
		w.drop[path.Clean("/"+d)] = true
	}
	if err := w.open(); err != nil {
		return nil, err
	}
	defer w.close()
	m, err := w.mergedTop()
	if err != nil {
		return nil, err
	}
	if err := w.mergeDir(m, marks{}); err != nil {
		return nil, err
	}
	if err := w.hardLinks(); err != nil {
		return nil, err
	}
	if err := w.planMeta(); err != nil {
		return nil, err
	}
	return p, nil
}

func (w *walker) open() error {
	var err error
	if w.up, err = at.NewCursor(int(w.p.upper.Fd()), w.p.top); err != nil {
		return fmt.Errorf("open the upper directory: %w", err)
	}
	if w.low, err = at.NewCursor(int(w.p.lower.Fd()), w.p.top); err != nil {
		w.up.Close()
		return fmt.Errorf("open the target root: %w", err)
	}
	return nil
}

func (w *walker) close() {
	w.up.Close()
	w.low.Close()
}

func (w *walker) mergedTop() (*merged, error) {
	up, err := w.up.Seek(w.p.top)
	if err != nil {
		return nil, failed("open", "/", err)
	}
	low, err := w.low.Seek(w.p.top)
	if err != nil {
		return nil, failed("open", "/", err)
	}
	us, err := at.Fstat(up)
	if err != nil {
		return nil, fmt.Errorf("stat the upper directory: %w", err)
	}
	ls, err := at.Fstat(low)
	if err != nil {
		return nil, fmt.Errorf("stat the target root: %w", err)
	}
	w.p.topBefore = ls
	w.p.device = at.Inode{Major: ls.Major, Minor: ls.Minor}
	names, err := at.Fxattrs(up)
	if err != nil {
		return nil, failed("list attributes", "/", err)
	}
	attrs, m, err := w.sortAttrs(w.p.top.Path, names, w.dirAttr(w.p.top))
	if err != nil {
		return nil, err
	}
	if m.opaque || m.whiteout {
		return nil, &Refusal{Path: "/", Why: "the top of the upper directory is marked opaque or deleted"}
	}
	if err := w.checkLowerDir(w.p.top, ls); err != nil {
		return nil, err
	}
	return &merged{dir: w.p.top, upper: us, lower: ls, attrs: attrs}, nil
}

// mergeDir plans the entries of a directory that stays.
func (w *walker) mergeDir(m *merged, dirMarks marks) error {
	names, err := w.upperNames(m.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		e, err := w.entry(m.dir, name)
		if err != nil {
			return err
		}
		low, err := w.lower(m.dir, name)
		if err != nil {
			return err
		}
		if err := w.mergeEntry(m, e, low, dirMarks); err != nil {
			return err
		}
	}
	if err := w.compareDir(m); err != nil {
		return err
	}
	w.merged = append(w.merged, m)
	return nil
}

func (w *walker) mergeEntry(m *merged, e *entry, low *at.Stat, dirMarks marks) error {
	ours, err := w.isDropped(e)
	if err != nil {
		return err
	}
	if ours {
		m.dropped = true
		return nil
	}
	white, err := e.isWhiteout(dirMarks)
	switch {
	case err != nil:
		return err
	case white && low == nil:
		return &Conflict{Path: e.path(), Why: "the command deleted it, but the target root no longer has it"}
	case white:
		m.touched = true
		return w.delete(m.dir, e.name, *low)
	case e.st.Type == at.Directory && low != nil && low.Type == at.Directory && !e.marks.opaque:
		if err := w.checkLowerDir(e.child, *low); err != nil {
			return err
		}
		return w.mergeDir(&merged{dir: e.child, upper: e.st, lower: *low, attrs: e.attrs}, e.marks)
	}
	return w.place(m, e, low)
}

// place plans that an upper entry takes the place of what ROOT has there, if anything.
func (w *walker) place(m *merged, e *entry, low *at.Stat) error {
	if !w.carried(e) {
		if low == nil {
			return nil
		}
		m.touched = true
		return w.delete(m.dir, e.name, *low)
	}
	if low != nil {
		kind, err := w.compare(e, *low)
		if err != nil || kind == "" {
			return err
		}
		if err := w.checkReplaced(m.dir, e.name, *low); err != nil {
			return err
		}
		if low.Type == at.Directory && e.st.Type != at.Directory {
			if err := w.deletedBelow(m.dir.Child(e.name), nil); err != nil {
				return err
			}
		}
		w.changed(m.dir, e.name, kind, e.st.Type)
	} else {
		w.changed(m.dir, e.name, Added, e.st.Type)
	}
	m.touched = true
	to := w.nextEntry()
	shadow := low != nil && low.Type == at.Directory
	if err := w.stageTree(e, to, shadow); err != nil {
		return err
	}
	w.p.publish = append(w.p.publish, &putOp{dir: m.dir, name: e.name, entry: to.name, old: low})
	if low != nil {
		w.noteReplaced(e, *low, to)
	}
	return nil
}

func (w *walker) delete(dir *at.Dir, name string, low at.Stat) error {
	if err := w.checkReplaced(dir, name, low); err != nil {
		return err
	}
	w.noteGone(dir, name, low)
	w.changed(dir, name, Deleted, low.Type)
	if low.Type == at.Directory {
		if err := w.deletedBelow(dir.Child(name), nil); err != nil {
			return err
		}
	}
	w.p.publish = append(w.p.publish, &deleteOp{dir: dir, name: name, entry: w.nextEntry().name, old: low})
	return nil
}

// deletedBelow reports what disappears with a directory of ROOT, except the names in kept, and looks for conflicts.
func (w *walker) deletedBelow(d *at.Dir, kept map[string]bool) error {
	fd, err := w.low.Seek(d)
	if err != nil {
		return failed("open", d.Path(), err)
	}
	names, err := at.Names(fd)
	if err != nil {
		return failed("list", d.Path(), err)
	}
	for _, name := range names {
		if kept[name] {
			continue
		}
		if err := w.tick(d, name); err != nil {
			return err
		}
		low, err := w.lower(d, name)
		if err != nil {
			return err
		}
		if low == nil {
			continue
		}
		if err := w.checkReplaced(d, name, *low); err != nil {
			return err
		}
		w.noteGone(d, name, *low)
		w.changed(d, name, Deleted, low.Type)
		if low.Type == at.Directory {
			if err := w.deletedBelow(d.Child(name), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// tick looks at the context now and then, and at the length of the path.
func (w *walker) tick(dir *at.Dir, name string) error {
	w.count++
	if w.count%256 == 0 {
		if err := w.ctx.Err(); err != nil {
			return err
		}
	}
	if dir.Length()+1+len(name) > maxPath {
		return &Refusal{Path: dir.Path()[:200] + "…", Why: fmt.Sprintf("a path is longer than %d bytes", maxPath)}
	}
	return nil
}

func (w *walker) changed(dir *at.Dir, name string, kind Kind, t at.Type) {
	w.p.changes = append(w.p.changes, change{dir, name, kind, t})
}

func (w *walker) warn(format string, args ...any) {
	const most = 1000
	switch n := len(w.p.warnings); {
	case n < most:
		w.p.warnings = append(w.p.warnings, fmt.Sprintf(format, args...))
	case n == most:
		w.p.warnings = append(w.p.warnings, "further warnings are left out")
	}
}

// nextEntry is a new numbered name directly in the stage.
func (w *walker) nextEntry() place {
	w.p.entries++
	return place{dir: w.p.top, name: strconv.Itoa(w.p.entries)}
}

func quote(s string) string { return strconv.Quote(s) }

func notExist(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)
}
