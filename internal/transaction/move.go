package transaction

import (
	"fmt"

	"github.com/crossroot/crossroot/internal/kernel/at"
)

// The operations of a commit from an upper on ROOT's own mount: new inodes are tidied where they are, then moved.

// moveOp moves an entry with all below it from the upper into the stage.
type moveOp struct{ from, to place }

func (o *moveOp) Describe() string { return fmt.Sprintf("move %q into the stage", o.from.path()) }

func (o *moveOp) Apply(r *run) error {
	from, err := r.up.Seek(o.from.dir)
	if err != nil {
		return failed("open", o.from.dir.Path(), err)
	}
	to, err := r.st.Seek(o.to.dir)
	if err == nil {
		err = at.Rename(from, o.from.name, to, o.to.name)
	}
	if err != nil {
		return failed("move", o.from.path(), err)
	}
	return nil
}

// stripOp removes the overlay's attributes from an upper inode.
type stripOp struct {
	from  place
	dir   *at.Dir // set for directories
	attrs []string
}

func (o *stripOp) Describe() string {
	return fmt.Sprintf("remove overlay attributes of %q", o.from.path())
}

func (o *stripOp) Apply(r *run) error {
	fd, err := o.open(r)
	if err != nil {
		return failed("open", o.from.path(), err)
	}
	if o.dir == nil {
		defer at.Close(fd)
	}
	for _, attr := range o.attrs {
		if err := at.Fremovexattr(fd, attr); err != nil {
			return failed("remove attribute "+attr, o.from.path(), err)
		}
	}
	return nil
}

func (o *stripOp) open(r *run) (int, error) {
	if o.dir != nil {
		return r.up.Seek(o.dir)
	}
	fd, err := r.up.Seek(o.from.dir)
	if err != nil {
		return -1, err
	}
	return at.OpenFile(fd, o.from.name)
}

// dropOp removes an upper entry that is not carried over.
type dropOp struct {
	from      place
	directory bool
}

func (o *dropOp) Describe() string { return fmt.Sprintf("leave out %q", o.from.path()) }

func (o *dropOp) Apply(r *run) error {
	fd, err := r.up.Seek(o.from.dir)
	if err == nil && o.directory {
		err = at.Rmdir(fd, o.from.name)
	} else if err == nil {
		err = at.Unlink(fd, o.from.name)
	}
	if err != nil {
		return failed("leave out", o.from.path(), err)
	}
	return nil
}

// timesOp restores the times of an upper directory that another operation disturbed.
type timesOp struct {
	dir *at.Dir
	st  at.Stat
}

func (o *timesOp) Describe() string { return fmt.Sprintf("restore the times of %q", o.dir.Path()) }

func (o *timesOp) Apply(r *run) error {
	fd, err := r.up.Seek(o.dir)
	if err == nil {
		err = at.FsetTimes(fd, o.st.Atime, o.st.Mtime)
	}
	if err != nil {
		return failed("set times", o.dir.Path(), err)
	}
	return nil
}
