package session

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
	"github.com/crossroot/crossroot/internal/twin"
	"github.com/crossroot/crossroot/internal/twin/state"
)

// longestFollow bounds how long an execution waits for a better tool root.
const longestFollow = 10 * time.Minute

// follower keeps the tool root of a run up with the packages that the run installs.
type follower struct {
	run    *run
	twin   *twin.Follower
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	report protocol.Twin
	held   []*toolroot.Root // those before: programs of theirs may still run
}

// toolCache is the directory of all tool roots, which a run that follows needs.
func (r *run) toolCache() string { return filepath.Dir(filepath.Dir(r.tools.Base)) }

// follow answers one EventPackages, without making the run's other events wait.
func (f *follower) follow(ctx context.Context, p protocol.Packages) {
	ctx, cancel := context.WithTimeoutCause(ctx, longestFollow, fmt.Errorf("it took longer than %s", longestFollow))
	f.mu.Lock()
	f.cancel = cancel
	f.mu.Unlock()
	f.work.Go(func() {
		defer cancel()
		order := protocol.Order{Kind: protocol.OrderTools}
		tools, err := f.next(ctx, state.State(p))
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			order.Error = err.Error()
			f.mu.Lock()
			f.report.Failure = order.Error
			f.mu.Unlock()
		}
		if tools != nil {
			dir := f.run.toolCache()
			order.Base, _ = filepath.Rel(dir, tools.Base)
			order.Extra, _ = filepath.Rel(dir, tools.Variant)
		}
		_ = f.run.conn.Send(order) // one that is gone needs no answer
	})
}

// next makes the tool root; nil if it is the same as before. With a tool root an error says what it lacks.
func (f *follower) next(ctx context.Context, s state.State) (*toolroot.Root, error) {
	began := time.Now()
	t, err := f.twin.Next(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.Close() }() // a tool root has copies
	r := f.run
	tools, err := toolroot.Open(ctx, toolroot.Source{Root: t.Dir}, toolroot.Options{Cache: r.o.Dirs.Cache, Target: r.root.Arch, Like: r.tools})
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := tools.Key != r.tools.Key
	f.report.AtEnd = t.Packages
	f.report.Followed = append(f.report.Followed, protocol.Followed{
		Packages: t.Packages, Unpacked: t.Unpacked, Micro: time.Since(began).Microseconds(), Changed: changed,
	})
	var failed error
	if t.Failure != nil {
		failed = t.Failure
	} else {
		for _, w := range t.Warnings {
			r.warn("twin: " + w)
		}
	}
	if !changed {
		_ = tools.Close()
		return nil, failed
	}
	f.held = append(f.held, r.tools)
	r.tools = tools
	return tools, failed
}

// stop ends what is under way; the cache stays whole. No answer is due any more.
func (f *follower) stop() {
	if f == nil {
		return
	}
	f.mu.Lock()
	if f.cancel != nil {
		f.cancel()
	}
	f.mu.Unlock()
	f.work.Wait()
}

// describe completes the report of a run.
func (f *follower) describe(result *Result) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	result.Report.Twin = &f.report
	if f.report.AtEnd != f.report.Packages {
		result.Tools += fmt.Sprintf(", %d at the end", f.report.AtEnd)
	}
}

// close lets go of the tool roots.
func (f *follower) close() error {
	if f == nil {
		return nil
	}
	var err error
	for _, t := range f.held {
		err = errors.Join(err, t.Close())
	}
	return err
}
