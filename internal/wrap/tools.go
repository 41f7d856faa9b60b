package wrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/keeper"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/toolroot"
	"github.com/crossroot/crossroot/internal/twin"
	"github.com/crossroot/crossroot/internal/twin/state"
)

// finder finds tool roots for the roots of a builder, and keeps them from being deleted.
type finder struct {
	o     *Options
	mu    sync.Mutex
	roots map[int]*found // by the keeper's number of a root
	held  []*toolroot.Root
}

// found is what was found for one root.
type found struct {
	twin  *twin.Follower // nil: its tools don't follow its packages
	tools *toolroot.Root
	dir   *os.File // the root
	// Packages, by name, that its database doesn't have yet, although they are there.
	ahead map[string]string
}

// find answers a wish of the keeper. What goes wrong is a warning: everything is emulated then.
func (f *finder) find(ctx context.Context, e keeper.Event, files []*os.File) keeper.Order {
	f.mu.Lock() // one at a time: they share a cache, and a terminal
	defer f.mu.Unlock()
	answer := keeper.Order{Kind: keeper.OrderTools, ID: e.ID, From: "nowhere: everything is emulated"}
	target, ok := arch.Lookup(e.Arch)
	if !ok {
		return answer
	}
	var tools *toolroot.Root
	var from string
	var err error
	switch {
	case e.Packages != nil:
		if tools, from, err = f.next(ctx, e, target); err != nil {
			answer.Error = err.Error()
		}
		if tools == nil {
			return answer
		}
	case len(files) == 1:
		if tools, from, err = f.open(ctx, e.Root, target, files[0]); err != nil {
			f.warn(fmt.Sprintf("%s: %v: everything is emulated", e.Name, err))
			return answer
		}
	default:
		return answer
	}
	f.held = append(f.held, tools)
	f.roots[e.Root].tools = tools
	answer.Base, answer.Extra, answer.From = tools.Base, tools.Variant, from
	return answer
}

// next makes the tool root for a root whose packages have changed; nil if it is the same as before.
func (f *finder) next(ctx context.Context, e keeper.Event, target arch.Arch) (*toolroot.Root, string, error) {
	r := f.roots[e.Root]
	if r == nil || r.twin == nil {
		return nil, "", nil
	}
	s := state.State(*e.Packages)
	if len(s.Status) == 0 { // the root was found before anything was in it
		r.ahead = unpacked(r.dir, target.Debian)
	}
	s, all, err := with(s, r.ahead, target.Debian)
	if err != nil {
		return nil, "", err
	}
	if all {
		r.ahead = nil
	}
	t, err := r.twin.Next(ctx, s)
	if errors.Is(err, twin.ErrNoTwin) {
		return nil, "", nil // the next packages may be others
	}
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = t.Close() }() // a tool root has copies
	o := toolroot.Options{Cache: f.o.Dirs.Cache, Target: target}
	if r.tools.Index.Source != "/" {
		o.Like = r.tools
	}
	tools, err := toolroot.Open(ctx, toolroot.Source{Root: t.Dir}, o)
	if err != nil {
		return nil, "", err
	}
	if t.Failure != nil {
		err = t.Failure
	}
	if tools.Key == r.tools.Key {
		_ = tools.Close()
		return nil, "", err
	}
	return tools, describe(t), err
}

func describe(t *twin.Twin) string {
	return fmt.Sprintf("a twin of %d packages from %s", t.Packages, t.From)
}

func (f *finder) open(ctx context.Context, number int, target arch.Arch, dir *os.File) (*toolroot.Root, string, error) {
	f.roots[number] = &found{}
	switch f.o.Tools {
	case session.ToolsHost:
		return f.host(ctx, target)
	case session.ToolsTwin:
		return f.twin(ctx, number, target, dir, false)
	case "", session.ToolsAuto:
		tools, from, err := f.twin(ctx, number, target, dir, true)
		if err == nil || ctx.Err() != nil {
			return tools, from, err
		}
		if !errors.Is(err, twin.ErrNotDebian) && !errors.Is(err, errEmpty) {
			f.warn(err.Error() + ": this machine's programs are used")
		}
		return f.host(ctx, target)
	}
	tools, err := f.toolRoot(ctx, target, f.o.Tools)
	return tools, f.o.Tools, err
}

func (f *finder) host(ctx context.Context, target arch.Arch) (*toolroot.Root, string, error) {
	tools, err := f.toolRoot(ctx, target, "/")
	return tools, "this machine's programs", err
}

// errEmpty: nothing is installed in a root yet.
var errEmpty = errors.New("no package is installed yet")

func (f *finder) twin(ctx context.Context, number int, target arch.Arch, dir *os.File, lenient bool) (*toolroot.Root, string, error) {
	if arch.Host().Debian == "" {
		return nil, "", errors.New("Debian has no packages for this machine's CPU")
	}
	// The descriptor is of a mount namespace made for an attachment, or of a container's: the builder may unmount.
	n, err := unix.FcntlInt(dir.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, "", os.NewSyscallError("dup", err)
	}
	root := os.NewFile(uintptr(n), dir.Name())
	f.roots[number].dir = root
	r := f.roots[number]
	r.twin = twin.Follow(root, twin.Options{Target: target, Cache: f.o.Dirs.Cache, Progress: f.o.Progress, Lenient: lenient})
	t, err := r.start(ctx, target)
	if err != nil {
		return nil, "", fmt.Errorf("twin: %w", err)
	}
	defer func() { _ = t.Close() }() // a tool root has copies
	for _, w := range t.Warnings {
		f.warn("twin: " + w)
	}
	tools, err := f.toolRoot(ctx, target, t.Dir)
	return tools, describe(t), err
}

// start makes the first twin of a root, which may be at the beginning of its bootstrap.
func (r *found) start(ctx context.Context, target arch.Arch) (*twin.Twin, error) {
	s, err := state.Read(r.dir, state.Largest)
	if err != nil {
		return nil, err
	}
	packages, err := s.Packages(target.Debian)
	if err != nil || len(packages) > 0 {
		return r.twin.Start(ctx, false)
	}
	if r.ahead = unpacked(r.dir, target.Debian); len(r.ahead) == 0 {
		return nil, errEmpty
	}
	if s, _, err = with(s, r.ahead, target.Debian); err != nil {
		return nil, err
	}
	return r.twin.Next(ctx, s)
}

func (f *finder) toolRoot(ctx context.Context, target arch.Arch, source string) (*toolroot.Root, error) {
	return toolroot.Open(ctx, toolroot.Source{Root: source}, toolroot.Options{Cache: f.o.Dirs.Cache, Target: target, Progress: f.o.Progress})
}

func (f *finder) warn(text string) {
	if f.o.Warn != nil {
		f.o.Warn(text)
	}
}

func (f *finder) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.held {
		_ = t.Close()
	}
	for _, r := range f.roots {
		if r.dir != nil {
			r.dir.Close()
		}
	}
}
