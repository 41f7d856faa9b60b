package keeper

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
	"github.com/crossroot/crossroot/internal/twin/state"
)

// follower keeps the tool root of a root up with the packages that the builder installs.
func (k *keeper) follower(r *root) *broker.Follower {
	return &broker.Follower{
		Next:   func(s state.State) (*toolroot.Index, func() error, error) { return k.nextTools(r, s) },
		Failed: func(reason string) { k.warn("%s: the twin could not follow: %s", r.name, reason) },
	}
}

// nextTools asks outside for the tool root of a root as it is now.
func (k *keeper) nextTools(r *root, s state.State) (*toolroot.Index, func() error, error) {
	packages := protocol.Packages(s)
	o := k.ask(Event{Root: r.number, Arch: r.arch.Name, Name: r.name, Packages: &packages})
	var failed error
	if o.Error != "" {
		failed = errors.New(o.Error)
	}
	if o.Base == "" {
		return nil, nil, failed
	}
	t, err := k.attachTools(o.Base, o.Extra)
	if err != nil {
		return nil, nil, err
	}
	return t.index, func() error { return k.changeTools(r, t, o.From) }, failed
}

// changeTools puts a tool root in place of the one before: on the stage, for attachments to come, and in those that there
// are. What runs already keeps its files.
func (k *keeper) changeTools(r *root, t *tools, from string) error {
	if err := bind(t.dir, r.view+"/t", 0); err != nil {
		return err
	}
	if err := r.linkTools(); err != nil {
		return err
	}
	k.mu.Lock()
	var pids []int
	for pid, at := range k.attached {
		if at.root == r {
			pids = append(pids, pid)
		}
	}
	r.tools, r.from = t, from
	k.mu.Unlock()
	for _, pid := range pids {
		// One that has ended meanwhile needs nothing.
		_ = k.changeIn("/proc/"+strconv.Itoa(pid), r, t)
	}
	return nil
}

// changeIn puts a tool root over the one before in the mount namespace of one process.
func (k *keeper) changeIn(proc string, r *root, t *tools) error {
	hidden, err := os.Stat(r.dir)
	if err != nil {
		return err
	}
	tree, err := mount.Clone(nil, t.dir, false)
	if err != nil {
		return err
	}
	defer tree.Close()
	root, err := os.OpenFile(proc+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	ns, err := os.Open(proc + "/ns/mnt")
	if err != nil {
		return err
	}
	defer ns.Close()
	return mount.Within(ns, func() error {
		n, err := unix.Openat(int(root.Fd()), protocol.HiddenDir[1:], unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		dir := os.NewFile(uintptr(n), protocol.HiddenDir)
		defer dir.Close()
		if found, err := dir.Stat(); err != nil || !os.SameFile(hidden, found) {
			return unix.ESTALE
		}
		n, err = unix.Openat(n, "t", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		at := os.NewFile(uintptr(n), "t")
		defer at.Close()
		return mount.Attach(tree, at)
	})
}
