package transaction

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/crossroot/crossroot/internal/kernel/at"
)

// publishOp changes one name of ROOT by renaming between ROOT and the stage, so that Undo can bring it back exactly.
type publishOp interface {
	Apply(*run) error
	Undo(*run) error
	Describe() string
	Dir() *at.Dir // whose entry it changes
}

// putOp moves a staged entry into its place. What was there goes into the stage under the same number.
type putOp struct {
	dir   *at.Dir
	name  string
	entry string   // in the stage
	old   *at.Stat // what must be in the place; nil: nothing

	aside bool // the old one was moved aside in a step of its own
}

func (o *putOp) Describe() string {
	if o.old == nil {
		return fmt.Sprintf("put %q", o.dir.Join(o.name))
	}
	return fmt.Sprintf("replace %q", o.dir.Join(o.name))
}

func (o *putOp) Dir() *at.Dir { return o.dir }

func (o *putOp) Apply(r *run) error {
	fd, err := r.root.Seek(o.dir)
	if err != nil {
		return failed("open", o.dir.Path(), err)
	}
	if o.old == nil {
		return o.fill(r, fd)
	}
	err = at.Exchange(r.stageDir, o.entry, fd, o.name)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) {
		return o.twoSteps(r, fd)
	}
	if errors.Is(err, syscall.ENOENT) {
		return o.conflict("it disappeared from the target root")
	}
	if err != nil {
		return immovable("replace", o.dir.Join(o.name), err)
	}
	if o.expected(r, o.entry) {
		return nil
	}
	if err := at.Exchange(r.stageDir, o.entry, fd, o.name); err != nil {
		return errors.Join(o.conflict("it was replaced in the target root"), &undoError{failed("put back", o.dir.Join(o.name), err)})
	}
	return o.conflict("it was replaced in the target root")
}

func (o *putOp) fill(r *run, fd int) error {
	err := at.Rename(r.stageDir, o.entry, fd, o.name)
	if errors.Is(err, syscall.EEXIST) {
		return o.conflict("it appeared in the target root")
	}
	if err != nil {
		return failed("put", o.dir.Join(o.name), err)
	}
	return nil
}

// twoSteps replaces on file systems that can't exchange names.
func (o *putOp) twoSteps(r *run, fd int) error {
	if err := at.Rename(fd, o.name, r.stageDir, o.asideName()); err != nil {
		return immovable("move aside", o.dir.Join(o.name), err)
	}
	err := o.conflict("it was replaced in the target root")
	if o.expected(r, o.asideName()) {
		err = o.fill(r, fd)
	}
	if err == nil {
		o.aside = true
		return nil
	}
	if back := at.Rename(r.stageDir, o.asideName(), fd, o.name); back != nil {
		return errors.Join(err, &undoError{failed("put back", o.dir.Join(o.name), back)})
	}
	return err
}

func (o *putOp) asideName() string { return o.entry + ".old" }

func (o *putOp) expected(r *run, name string) bool { return isStill(r.stageDir, name, o.old) }

func (o *putOp) conflict(why string) error { return &Conflict{Path: o.dir.Join(o.name), Why: why} }

func (o *putOp) Undo(r *run) error {
	fd, err := r.root.Seek(o.dir)
	switch {
	case err != nil:
	case o.old != nil && !o.aside:
		err = at.Exchange(r.stageDir, o.entry, fd, o.name)
	default:
		err = at.Rename(fd, o.name, r.stageDir, o.entry)
		if err == nil && o.aside {
			err = at.Rename(r.stageDir, o.asideName(), fd, o.name)
		}
	}
	if err != nil {
		return failed("put back", o.dir.Join(o.name), err)
	}
	return nil
}

// deleteOp moves an entry of ROOT, a directory with all below it, into the stage.
type deleteOp struct {
	dir   *at.Dir
	name  string
	entry string
	old   at.Stat
}

func (o *deleteOp) Describe() string { return fmt.Sprintf("delete %q", o.dir.Join(o.name)) }

func (o *deleteOp) Dir() *at.Dir { return o.dir }

func (o *deleteOp) Apply(r *run) error {
	fd, err := r.root.Seek(o.dir)
	if err != nil {
		return failed("open", o.dir.Path(), err)
	}
	if err := at.Rename(fd, o.name, r.stageDir, o.entry); err != nil {
		return immovable("delete", o.dir.Join(o.name), err)
	}
	if isStill(r.stageDir, o.entry, &o.old) {
		return nil
	}
	conflict := &Conflict{Path: o.dir.Join(o.name), Why: "it was replaced in the target root"}
	if err := at.Rename(r.stageDir, o.entry, fd, o.name); err != nil {
		return errors.Join(conflict, &undoError{failed("put back", o.dir.Join(o.name), err)})
	}
	return conflict
}

func (o *deleteOp) Undo(r *run) error {
	fd, err := r.root.Seek(o.dir)
	if err == nil {
		err = at.Rename(r.stageDir, o.entry, fd, o.name)
	}
	if err != nil {
		return failed("put back", o.dir.Join(o.name), err)
	}
	return nil
}

// immovable explains the one error that comes from where ROOT lies rather than from what is in it.
func immovable(op, path string, err error) error {
	if errors.Is(err, syscall.EXDEV) {
		return &Refusal{Path: path, Why: "the target root lies on an overlay file system, which can't move this directory of a lower layer",
			Remedy: "use a root on a volume or make a copy of it"}
	}
	return failed(op, path, err)
}

// isStill compares what a rename brought with what Inspect saw. The rename itself changed ctime.
func isStill(dir int, name string, old *at.Stat) bool {
	now, err := at.Lstat(dir, name)
	return err == nil && now.Inode == old.Inode && now.Type == old.Type && now.Mtime == old.Mtime &&
		(now.Type == at.Directory || now.Size == old.Size)
}

// metaOp gives a directory that stays the metadata that it had in the overlay.
type metaOp struct {
	dir      *at.Dir
	old, new at.Stat
	attrs    []string // portable attributes of the upper directory, sorted
	differs  bool     // more than the times

	begun bool
	saved map[string][]byte // ROOT's attributes before
}

func (o *metaOp) Describe() string {
	if !o.differs {
		return fmt.Sprintf("set the times of %q", o.dir.Path())
	}
	return fmt.Sprintf("set metadata of %q: %s", o.dir.Path(), owners(o.new))
}

func (o *metaOp) Apply(r *run) error {
	fd, err := r.root.Seek(o.dir)
	if err != nil {
		return failed("open", o.dir.Path(), err)
	}
	o.begun = true
	if o.differs {
		if err := o.change(r, fd); err != nil {
			return err
		}
	}
	if err := at.FsetTimes(fd, o.new.Atime, o.new.Mtime); err != nil {
		return failed("set times", o.dir.Path(), err)
	}
	return nil
}

func (o *metaOp) change(r *run, fd int) error {
	saved, err := readAttrs(fd)
	if err != nil {
		return failed("read attributes", o.dir.Path(), err)
	}
	o.saved = saved
	from, err := r.up.Seek(o.dir)
	if err != nil {
		return failed("open", o.dir.Path(), err)
	}
	if err := at.Fchown(fd, o.new.UID, o.new.GID); err != nil {
		return failed("change owner", o.dir.Path(), err)
	}
	for name := range saved {
		if _, keep := slices.BinarySearch(o.attrs, name); keep {
			continue
		}
		if err := at.Fremovexattr(fd, name); err != nil {
			return failed("remove attribute "+name, o.dir.Path(), err)
		}
	}
	if name, err := copyAttrs(fd, from, o.attrs); err != nil {
		return failed("set attribute "+name, o.dir.Path(), err)
	}
	if err := at.Fchmod(fd, o.new.Mode); err != nil {
		return failed("change mode", o.dir.Path(), err)
	}
	return nil
}

// Undo restores what Inspect saw, also of a directory whose times only the renames have changed.
func (o *metaOp) Undo(r *run) error {
	fd, err := r.root.Seek(o.dir)
	if err == nil && o.saved != nil {
		err = o.restore(fd)
	}
	if err == nil {
		err = at.FsetTimes(fd, o.old.Atime, o.old.Mtime)
	}
	if err != nil {
		return failed("restore metadata", o.dir.Path(), err)
	}
	return nil
}

func (o *metaOp) restore(fd int) error {
	errs := []error{at.Fchown(fd, o.old.UID, o.old.GID)}
	for _, name := range o.attrs {
		if _, had := o.saved[name]; !had {
			errs = append(errs, at.Fremovexattr(fd, name))
		}
	}
	for name, val := range o.saved {
		errs = append(errs, at.Fsetxattr(fd, name, val))
	}
	return errors.Join(append(errs, at.Fchmod(fd, o.old.Mode))...)
}

func readAttrs(fd int) (map[string][]byte, error) {
	names, err := portableAttrs(fd)
	if err != nil {
		return nil, err
	}
	all := make(map[string][]byte, len(names))
	for _, name := range names {
		if all[name], err = at.Fgetxattr(fd, name); err != nil {
			return nil, err
		}
	}
	return all, nil
}
