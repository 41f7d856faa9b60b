package wrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/keeper"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/toolroot"
	"github.com/crossroot/crossroot/internal/twin"
)

// finder finds tool roots for the roots of a builder, and keeps them from being deleted.
type finder struct {
	o    *Options
	mu   sync.Mutex
	held []*toolroot.Root
}

// find answers a wish of the keeper. What goes wrong is a warning: everything is emulated then.
func (f *finder) find(ctx context.Context, e keeper.Event, dir *os.File) keeper.Order {
	f.mu.Lock() // one at a time: they share a cache, and a terminal
	defer f.mu.Unlock()
	answer := keeper.Order{Kind: keeper.OrderTools, ID: e.ID, From: "nowhere: everything is emulated"}
	target, ok := arch.Lookup(e.Arch)
	if !ok {
		return answer
	}
	tools, from, err := f.open(ctx, target, dir)
	if err != nil {
		f.warn(fmt.Sprintf("%s: %v: everything is emulated", e.Name, err))
		return answer
	}
	f.held = append(f.held, tools)
	answer.Base, answer.Extra, answer.From = tools.Base, tools.Variant, from
	return answer
}

func (f *finder) open(ctx context.Context, target arch.Arch, dir *os.File) (*toolroot.Root, string, error) {
	switch f.o.Tools {
	case session.ToolsHost:
		return f.host(ctx, target)
	case session.ToolsTwin:
		return f.twin(ctx, target, dir, false)
	case "", session.ToolsAuto:
		tools, from, err := f.twin(ctx, target, dir, true)
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

func (f *finder) twin(ctx context.Context, target arch.Arch, dir *os.File, lenient bool) (*toolroot.Root, string, error) {
	if arch.Host().Debian == "" {
		return nil, "", errors.New("Debian has no packages for this machine's CPU")
	}
	t, err := twin.Open(ctx, dir, twin.Options{Target: target, Cache: f.o.Dirs.Cache, Progress: f.o.Progress, Lenient: lenient})
	if err != nil {
		return nil, "", fmt.Errorf("twin: %w", err)
	}
	defer func() { _ = t.Close() }() // a tool root has copies
	if t.Packages == 0 {
		return nil, "", errEmpty
	}
	for _, w := range t.Warnings {
		f.warn("twin: " + w)
	}
	tools, err := f.toolRoot(ctx, target, t.Dir)
	return tools, fmt.Sprintf("a twin of %d packages from %s", t.Packages, t.From), err
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
		t.Close()
	}
}
