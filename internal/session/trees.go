package session

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/protocol"
)

// owners says how much the owners in a tree matter.
type owners int

const (
	ownersKept   owners = iota // whatever the host's ids look like inside
	ownersWanted               // as on the host, where the file system can
	ownersNeeded               // as on the host, or the run needs the identity map
)

// forest collects the trees of a setup. Real root's worker has no rights to paths on the host: it gets detached mounts,
// idmapped where owners matter. A user's worker opens them itself, and checks that it found the same.
type forest struct {
	run  *run
	user bool
	ns   *os.File // user namespace to map owners into; nil: the identity
	err  error
}

// add notes a tree: dir itself, when name is empty, else name.
func (t *forest) add(dir *os.File, name string, recursive bool, o owners) protocol.Tree {
	tree := protocol.Tree{Path: name, FD: -1}
	if t.err != nil {
		return tree
	}
	if t.user {
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil {
			t.err = &os.PathError{Op: "open", Path: name, Err: err}
		}
		tree.Dev, tree.Ino = st.Dev, st.Ino
		return tree
	}
	var f *os.File
	if dir != nil {
		f, t.err = mount.Clone(dir, "", recursive)
	} else {
		f, t.err = mount.Clone(nil, name, recursive)
	}
	if t.err != nil {
		return tree
	}
	if o != ownersKept && t.ns != nil {
		if err := mount.IDMap(f, t.ns); err != nil && o == ownersNeeded {
			f.Close()
			t.err = fmt.Errorf("%w: %w", errNoIDMap, err)
			return tree
		}
	}
	tree.FD = len(t.run.stdio.passed) + len(t.run.trees)
	t.run.trees = append(t.run.trees, f)
	return tree
}

// collectTrees fills in the trees of the setup for the worker pid.
func (r *run) collectTrees(pid int, ids userns.Map) error {
	r.closeTrees() // of a first try
	t := &forest{run: r, user: ids.Helper}
	if !ids.Helper && ids.UIDs[0].Outside != 0 {
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
		if err != nil {
			return err
		}
		defer ns.Close()
		t.ns = ns
	}
	if err := r.addRoot(t); err != nil {
		return err
	}
	file, err := r.o.Dirs.ImageFile()
	if err != nil {
		return fail(KindState, "", err)
	}
	s := &r.setup
	s.Image = t.add(nil, file, false, ownersKept)
	if r.tools != nil {
		base, extra := t.add(nil, r.tools.Base, false, ownersWanted), t.add(nil, r.tools.Variant, false, ownersWanted)
		s.ToolBase, s.ToolExtra = &base, &extra
	}
	if r.follower != nil {
		all := t.add(nil, r.toolCache(), false, ownersWanted)
		if t.err == nil && all.FD >= 0 {
			t.err = mount.SetAttributes(r.trees[len(r.trees)-1], mount.ReadOnly, false)
		}
		s.ToolCache = &all
	}
	for i := range s.Emulators {
		s.Emulators[i].File = t.add(nil, s.Emulators[i].File.Path, false, ownersKept)
	}
	if t.err != nil {
		return t.err
	}
	return r.addBinds(t)
}

// addRoot adds ROOT and the place of its changes.
func (r *run) addRoot(t *forest) error {
	if err := r.chooseSpool(); err != nil {
		return err
	}
	s := &r.setup
	if s.RootEntry == "" {
		s.Root = t.add(r.root.Dir, r.root.Path, false, ownersNeeded)
	}
	if r.spool != "" {
		at := r.spool
		if s.SpoolEntry != "" {
			at = filepath.Dir(r.spool)
		}
		spool := t.add(nil, at, false, ownersNeeded)
		s.Spool = &spool
	}
	return t.err
}

// addBinds adds the sources of --bind.
func (r *run) addBinds(t *forest) error {
	r.setup.Binds = nil
	for _, b := range r.o.Binds {
		full, err := filepath.Abs(b.Source)
		if err == nil {
			_, err = os.Stat(full)
		}
		if err != nil {
			return fail(KindBind, b.Source, fmt.Errorf("--bind: %w", err))
		}
		tree := t.add(nil, full, true, ownersWanted)
		if t.err != nil {
			return t.err
		}
		r.setup.Binds = append(r.setup.Binds, protocol.Bind{Source: tree, Target: b.Target, ReadOnly: b.ReadOnly})
	}
	return nil
}

func (r *run) closeTrees() {
	for _, f := range r.trees {
		f.Close()
	}
	r.trees = nil
}
