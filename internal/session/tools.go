package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/debian/repo"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
	"github.com/crossroot/crossroot/internal/twin"
)

// Values of Options.Tools that are no directory.
const (
	ToolsHost = "host" // this machine's own programs
	ToolsTwin = "twin" // the root's packages, for this machine's CPU
	ToolsAuto = "auto" // a twin where it can be had, else the host's
)

// OpenTwin gives the twin of a root; o is completed. The caller closes it.
func (r *Root) OpenTwin(ctx context.Context, o twin.Options) (*twin.Twin, error) {
	o.Target = r.Arch
	t, err := twin.Open(ctx, r.Dir, o)
	if err != nil {
		return nil, fail(KindTwin, r.Name, fmt.Errorf("twin of %s: %w", r.Name, err))
	}
	return t, nil
}

// openTools opens the tool root that Options.Tools asks for; it is nil where the machine has no native programs.
func (r *run) openTools(ctx context.Context) (*toolroot.Root, error) {
	switch r.o.Tools {
	case "", ToolsHost:
		return r.openHostTools(ctx)
	case ToolsTwin:
		return r.openTwinTools(ctx, false)
	case ToolsAuto:
		tools, err := r.openTwinTools(ctx, true)
		var failed *Error
		if err == nil || ctx.Err() != nil || !errors.As(err, &failed) || failed.Kind != KindTwin {
			return tools, err
		}
		if isNews(err) {
			r.warn(err.Error() + ": this machine's programs are used")
		}
		tools, second := r.openHostTools(ctx)
		r.toolsFrom += " (" + err.Error() + ")"
		return tools, second
	}
	r.toolsFrom = r.o.Tools
	return r.openToolRoot(ctx, r.o.Tools)
}

// isNews says whether it is worth a warning that there is no twin: not where none can be expected, nor when it was told
// before.
func isNews(err error) bool {
	var told *twin.Failure
	var failed *repo.Error
	switch {
	case errors.Is(err, twin.ErrNotDebian), errors.As(err, &told):
		return false
	case errors.As(err, &failed):
		return failed.Kind != repo.NoSource && failed.Kind != repo.NoArch
	}
	return true
}

func (r *run) openHostTools(ctx context.Context) (*toolroot.Root, error) {
	r.toolsFrom = "this machine's programs"
	tools, err := r.openToolRoot(ctx, "/")
	if errors.Is(err, toolroot.ErrNoPrograms) {
		r.warn("this machine has no programs that could run natively: everything is emulated")
		return nil, nil
	}
	return tools, err
}

// openTwinTools makes a tool root out of the root's twin. Before it is made, the twin's files are looked at one by one.
func (r *run) openTwinTools(ctx context.Context, lenient bool) (*toolroot.Root, error) {
	if arch.Host().Debian == "" {
		return nil, fail(KindTwin, r.root.Name, errors.New("Debian has no packages for this machine's CPU"))
	}
	f := twin.Follow(r.root.Dir, twin.Options{Cache: r.o.Dirs.Cache, Target: r.root.Arch, Progress: r.o.Progress, Lenient: lenient,
		Config: repo.Config{Offline: r.o.Offline}})
	t, err := r.startTwin(ctx, f, false)
	if err != nil {
		return nil, err
	}
	tools, err := toolroot.Made(toolroot.Source{Root: t.Dir}, toolroot.Options{Cache: r.o.Dirs.Cache, Target: r.root.Arch})
	if err != nil && !t.Built {
		_ = t.Close()
		if t, err = r.startTwin(ctx, f, true); err != nil {
			return nil, err
		}
	}
	defer func() { _ = t.Close() }() // a tool root has copies
	for _, w := range t.Warnings {
		r.warn("twin: " + w)
	}
	r.toolsFrom = fmt.Sprintf("a twin of %d packages from %s", t.Packages, t.From)
	if n := len(t.Differences); n > 0 {
		r.toolsFrom += fmt.Sprintf(", %d of another version or missing", n)
	}
	if !r.o.EmulateAll {
		r.follower = &follower{run: r, twin: f, report: protocol.Twin{Packages: t.Packages, AtEnd: t.Packages}}
	}
	if tools != nil {
		return tools, nil
	}
	return r.openToolRoot(ctx, t.Dir)
}

func (r *run) startTwin(ctx context.Context, f *twin.Follower, check bool) (*twin.Twin, error) {
	t, err := f.Start(ctx, check)
	if err != nil {
		return nil, fail(KindTwin, r.root.Name, fmt.Errorf("twin of %s: %w", r.root.Name, err))
	}
	return t, nil
}

func (r *run) openToolRoot(ctx context.Context, source string) (*toolroot.Root, error) {
	tools, err := toolroot.Open(ctx, toolroot.Source{Root: source}, toolroot.Options{Cache: r.o.Dirs.Cache, Target: r.root.Arch, Progress: r.o.Progress})
	if err != nil {
		return nil, fail(KindTools, source, err)
	}
	return tools, nil
}
