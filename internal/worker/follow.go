package worker

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
	"github.com/crossroot/crossroot/internal/twin/state"
)

// toolCache is where the stage has the directory of all tool roots.
const toolCache = "/tools/cache"

// follower gives the broker the tool roots that the outside process makes in the middle of the run.
func (w *worker) follower() *broker.Follower {
	if w.setup.ToolCache == nil {
		return nil
	}
	return &broker.Follower{Start: w.layout.lower, Next: w.nextTools, Failed: func(reason string) {
		w.warn("the twin could not follow: %s", reason)
	}}
}

// nextTools asks the outside process for a tool root.
func (w *worker) nextTools(s state.State) (*toolroot.Index, func() error, error) {
	packages := protocol.Packages(s)
	if err := w.conn.Send(protocol.Event{Kind: protocol.EventPackages, Packages: &packages}); err != nil {
		return nil, nil, err
	}
	var o protocol.Order
	select {
	case o = <-w.answers:
	case <-w.over:
		return nil, nil, nil
	}
	var failed error
	if o.Error != "" {
		failed = errors.New(o.Error)
	}
	if o.Base == "" {
		return nil, nil, failed
	}
	base, extra := path.Join(toolCache, o.Base), path.Join(toolCache, o.Extra)
	next, err := toolroot.ReadIndex(base, extra)
	if err != nil {
		return nil, nil, err
	}
	return next, func() error { return w.showTools(extra + ":" + base + ":") }, failed
}

// showTools mounts a new tool root over the one before, in the worker's view and in the run's. What runs already keeps
// its files.
func (w *worker) showTools(layers string) error {
	for _, e := range w.setup.Emulators {
		if e.Tool != "" {
			layers += "/emulator/" + e.Arch + ":"
		}
	}
	if err := mountTools(layers); err != nil {
		return err
	}
	here, err := os.OpenFile(protocol.HiddenDir+"/t", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer here.Close()
	tree, err := mount.Clone(here, "", false)
	if err != nil {
		return err
	}
	defer tree.Close()
	hidden, err := os.Stat(protocol.HiddenDir)
	if err != nil {
		return err
	}
	inside, err := os.Open("/proc/" + strconv.Itoa(w.init.Pid) + "/ns/mnt")
	if err != nil {
		return err
	}
	defer inside.Close()
	return mount.Within(inside, func() error {
		// The name is the run's; what it leads to must be the hidden directory.
		if found, err := os.Lstat(protocol.HiddenDir); err != nil || !os.SameFile(hidden, found) {
			return fmt.Errorf("%s is not the hidden directory", protocol.HiddenDir)
		}
		return mount.AttachAt(tree, protocol.HiddenDir+"/t")
	})
}
