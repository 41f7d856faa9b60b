package transaction

import (
	"context"
	"fmt"
	"os"

	"github.com/crossroot/crossroot/internal/kernel/at"
)

// run is the state of one Commit: a position in each of the three trees.
type run struct {
	ctx          context.Context
	p            *Plan
	up, st, root *at.Cursor // the upper, the stage, ROOT
	links        *at.Cursor // a second position in the stage, for link sources
	top          int        // ROOT's top directory
	copier       at.Copier
	stageName    string
	stageDir     int
}

// stageOp makes a part of what is new, in the stage (or makes it ready to be moved there). Nothing of ROOT is touched.
type stageOp interface {
	Apply(*run) error
	Describe() string
}

type mkdirOp struct{ to place }

func (o *mkdirOp) Describe() string { return fmt.Sprintf("stage directory %q", o.to.path()) }

func (o *mkdirOp) Apply(r *run) error {
	fd, err := r.st.Seek(o.to.dir)
	if err == nil {
		err = at.Mkdir(fd, o.to.name)
	}
	if err != nil {
		return failed("make directory", o.to.path(), err)
	}
	return nil
}

// finishOp gives a staged directory its metadata, after its entries.
type finishOp struct {
	dir, from *at.Dir
	st        at.Stat
	attrs     []string
}

func (o *finishOp) Describe() string {
	return fmt.Sprintf("stage metadata of %q: %s", o.from.Path(), owners(o.st))
}

func (o *finishOp) Apply(r *run) error {
	fd, err := r.st.Seek(o.dir)
	if err != nil {
		return failed("open staged", o.from.Path(), err)
	}
	from := -1
	if len(o.attrs) > 0 {
		if from, err = r.up.Seek(o.from); err != nil {
			return failed("open", o.from.Path(), err)
		}
	}
	return finish(fd, from, o.from.Path, o.st, o.attrs)
}

// finish sets owner, mode, attributes and times of a new inode, in the order in which none undoes another.
func finish(fd, from int, path func() string, st at.Stat, attrs []string) error {
	if err := at.Fchown(fd, st.UID, st.GID); err != nil {
		return failed("change owner", path(), err)
	}
	if err := at.Fchmod(fd, st.Mode); err != nil {
		return failed("change mode", path(), err)
	}
	if name, err := copyAttrs(fd, from, attrs); err != nil {
		return failed("set attribute "+name, path(), err)
	}
	if err := at.FsetTimes(fd, st.Atime, st.Mtime); err != nil {
		return failed("set times", path(), err)
	}
	return nil
}

type copyOp struct {
	from, to place
	st       at.Stat
	attrs    []string
}

func (o *copyOp) Describe() string {
	return fmt.Sprintf("stage %q: %d bytes, %s", o.from.path(), o.st.Size, owners(o.st))
}

func (o *copyOp) Apply(r *run) error {
	from, err := r.up.Seek(o.from.dir)
	if err != nil {
		return failed("open", o.from.dir.Path(), err)
	}
	in, err := at.OpenFile(from, o.from.name)
	if err != nil {
		return failed("open", o.from.path(), err)
	}
	defer at.Close(in)
	to, err := r.st.Seek(o.to.dir)
	if err != nil {
		return failed("open staged", o.from.dir.Path(), err)
	}
	out, err := at.CreateFile(to, o.to.name)
	if err != nil {
		return failed("create staged", o.from.path(), err)
	}
	defer at.Close(out)
	if err := r.copier.Copy(r.ctx, out, in, o.st); err != nil {
		return failed("copy", o.from.path(), err)
	}
	return finish(out, in, o.from.path, o.st, o.attrs)
}

type symlinkOp struct {
	from, to place
	st       at.Stat
}

func (o *symlinkOp) Describe() string { return fmt.Sprintf("stage symlink %q", o.from.path()) }

func (o *symlinkOp) Apply(r *run) error {
	from, err := r.up.Seek(o.from.dir)
	if err != nil {
		return failed("open", o.from.dir.Path(), err)
	}
	target, err := at.Readlink(from, o.from.name)
	if err != nil {
		return failed("read link", o.from.path(), err)
	}
	to, err := r.st.Seek(o.to.dir)
	if err == nil {
		err = at.MakeSymlink(target, to, o.to.name)
	}
	if err != nil {
		return failed("make symlink", o.from.path(), err)
	}
	if err := at.Chown(to, o.to.name, o.st.UID, o.st.GID); err != nil {
		return failed("change owner", o.from.path(), err)
	}
	if err := at.SetTimes(to, o.to.name, o.st.Atime, o.st.Mtime); err != nil {
		return failed("set times", o.from.path(), err)
	}
	return nil
}

type fifoOp struct {
	from, to place
	st       at.Stat
	attrs    []string
}

func (o *fifoOp) Describe() string {
	return fmt.Sprintf("stage fifo %q: %s", o.from.path(), owners(o.st))
}

func (o *fifoOp) Apply(r *run) error {
	to, err := r.st.Seek(o.to.dir)
	if err == nil {
		err = at.MakeFIFO(to, o.to.name)
	}
	if err != nil {
		return failed("make fifo", o.from.path(), err)
	}
	if err := dress(to, o.to.name, o.from.path, o.st); err != nil {
		return err
	}
	for _, attr := range o.attrs {
		from, err := r.up.Seek(o.from.dir)
		if err == nil {
			err = at.CopyXattrAt(from, o.from.name, to, o.to.name, attr)
		}
		if err != nil {
			return failed("set attribute "+attr, o.from.path(), err)
		}
	}
	return nil
}

// dress gives owner, mode and times to a node that can't be opened.
func dress(dir int, name string, path func() string, st at.Stat) error {
	if err := at.Chown(dir, name, st.UID, st.GID); err != nil {
		return failed("change owner", path(), err)
	}
	if err := at.ChmodMade(dir, name, st.Mode); err != nil {
		return failed("change mode", path(), err)
	}
	if err := at.SetTimes(dir, name, st.Atime, st.Mtime); err != nil {
		return failed("set times", path(), err)
	}
	return nil
}

// nodeOp makes a device node through the caller's MakeNode; in the upper it first removes the placeholder.
type nodeOp struct {
	to      place
	inUpper bool
	node    Node
	st      at.Stat
	make    func(*os.File, string, Node) error
}

func (o *nodeOp) Describe() string {
	return fmt.Sprintf("stage device node %q: %d:%d", o.to.path(), o.node.Major, o.node.Minor)
}

func (o *nodeOp) Apply(r *run) error {
	cur := r.st
	if o.inUpper {
		cur = r.up
	}
	fd, err := cur.Seek(o.to.dir)
	if err != nil {
		return failed("open", o.to.dir.Path(), err)
	}
	if o.inUpper {
		if err := at.Unlink(fd, o.to.name); err != nil {
			return failed("remove placeholder", o.to.path(), err)
		}
	}
	own, err := at.Dup(fd)
	if err != nil {
		return failed("open", o.to.dir.Path(), err)
	}
	dir := os.NewFile(uintptr(own), "stage")
	defer dir.Close()
	if err := o.make(dir, o.to.name, o.node); err != nil {
		return failed("make device node", o.to.path(), err)
	}
	st := o.st
	st.Mode = o.node.Mode & 0o7777
	return dress(fd, o.to.name, o.to.path, st)
}

// linkOp makes another name of something staged before.
type linkOp struct{ from, to place }

func (o *linkOp) Describe() string {
	return fmt.Sprintf("stage link %q to %q", o.to.path(), o.from.path())
}

func (o *linkOp) Apply(r *run) error {
	from, err := r.links.Seek(o.from.dir)
	if err != nil {
		return failed("open staged", o.from.dir.Path(), err)
	}
	to, err := r.st.Seek(o.to.dir)
	if err == nil {
		err = at.Link(from, o.from.name, to, o.to.name)
	}
	if err != nil {
		return failed("link", o.to.path(), err)
	}
	return nil
}

func owners(st at.Stat) string { return fmt.Sprintf("mode %04o owner %d:%d", st.Mode, st.UID, st.GID) }
