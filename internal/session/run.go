package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// run is the state of one run, outside.
type run struct {
	root  *Root
	o     Options
	began time.Time
	last  time.Time
	times []protocol.Time

	conn   *fdsock.Conn
	worker *os.Process
	stdio  *streams
	tools  *toolroot.Root
	// follower is of tools that follow the run; nil: they stay.
	follower *follower
	// toolsFrom says where the tools came from, in words.
	toolsFrom string
	// emulators are tool roots of dynamic emulators.
	emulators []*toolroot.Root
	setup     protocol.Setup
	trees     []*os.File // descriptors for the setup message, behind those of the standard streams
	spool     string     // directory to remove afterwards

	timedOut, killed atomic.Bool
	interrupted      atomic.Int32
}

func (r *run) lap(phase string) {
	now := time.Now()
	r.times = append(r.times, protocol.Time{Phase: phase, Micro: now.Sub(r.last).Microseconds()})
	r.last = now
}

func (r *run) warn(text string) {
	if r.o.Warn != nil {
		r.o.Warn(text)
	}
}

func (r *run) do(ctx context.Context) (*Result, error) {
	hold, err := r.root.take(ctx, r.o.Dirs.State, r.o.Keep == KeepNever, r.o.Wait, strings.Join(r.o.Command, " "))
	if err != nil {
		return nil, err
	}
	defer hold.release()
	if err := r.checkWritable(); err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	defer r.closeTools()
	defer r.cleanUp()
	r.lap("prepare")
	if err := r.startWorker(ctx); err != nil {
		return nil, err
	}
	r.lap("namespaces")
	result, err := r.converse(ctx)
	r.follower.stop()
	r.worker.Kill()
	_, _ = r.worker.Wait()
	r.stdio.finish()
	if err != nil {
		return nil, err
	}
	result.Arch, result.Tools = r.root.Arch.Name, r.toolsFrom
	result.Report.Times = append(r.times, result.Report.Times...)
	r.follower.describe(result)
	return result, nil
}

// checkWritable refuses a run whose changes could not be kept, before it has begun.
func (r *run) checkWritable() error {
	if r.o.Keep == KeepNever {
		return nil
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(r.root.Dir.Fd()), &fs); err != nil {
		return fail(KindRoot, r.root.Name, &os.PathError{Op: "statfs", Path: r.root.Name, Err: err})
	}
	if fs.Flags&unix.ST_RDONLY != 0 {
		return fail(KindReadOnly, r.root.Name, fmt.Errorf("%s is on a read-only file system", r.root.Name))
	}
	return nil
}

// prepare collects everything that can be had without the worker.
func (r *run) prepare(ctx context.Context) error {
	s := &r.setup
	s.RootName, s.RootDev, s.RootIno = r.root.Name, r.root.Dev, r.root.Ino
	s.Command, s.Workdir, s.Hostname = r.o.Command, r.o.Workdir, r.o.Hostname
	if s.Workdir == "" {
		s.Workdir = "/"
	}
	s.NetHost, s.EmulateAll, s.Manifest = r.o.NetHost, r.o.EmulateAll, r.o.Manifest
	s.Except = r.o.Except
	if s.NetHost {
		s.Resolv, _ = os.ReadFile("/etc/resolv.conf")
	}
	err := r.prepareDispatch(ctx)
	if err != nil {
		return err
	}
	if r.stdio, err = openStreams(r.o.Stdio, r.o.NullStdin); err != nil {
		return err
	}
	s.Stdio, s.Rows, s.Columns = r.stdio.kinds, r.stdio.rows, r.stdio.columns
	s.Env = environment(r.o.Env, r.stdio.terminal != nil)
	return nil
}

// prepareDispatch finds what decides about executions: the policy, the tool root, the emulators.
func (r *run) prepareDispatch(ctx context.Context) error {
	s := &r.setup
	s.Arch, s.Fidelity = r.root.Arch.Name, r.o.Fidelity
	if r.o.Policy != "" {
		if err := r.readPolicy(); err != nil {
			return err
		}
	}
	if r.root.Arch.RunsNativelyOn(arch.Host()) {
		return nil
	}
	s.Foreign = foreign(r.root.Arch)
	return r.findTools(ctx)
}

// readPolicy reads the user's policy into the setup.
func (r *run) readPolicy() error {
	text, err := ReadPolicy(r.o.Policy)
	r.setup.Policy, r.setup.PolicyName = text, r.o.Policy
	return err
}

// ReadPolicy reads a user's policy: a file, or the name of one that crossroot ships. It is parsed here too, so that
// a mistake is told before anything starts.
func ReadPolicy(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		if shipped, ok := policy.ShippedText(name); ok {
			text, err = shipped, nil
		}
	}
	if err == nil {
		_, err = policy.Parse(name, text)
	}
	if err != nil {
		return nil, fail(KindPolicy, name, err)
	}
	return text, nil
}

// foreign lists the architectures to dispatch in a root: its own, and those that its CPU runs as well.
func foreign(target arch.Arch) []string {
	names := []string{target.Name}
	for _, a := range arch.All() {
		if a.Name != target.Name && a.RunsNativelyOn(target) && !a.RunsNativelyOn(arch.Host()) && a.Machine != target.Machine {
			names = append(names, a.Name)
		}
	}
	return names
}

// findTools opens the tool root and the emulators.
func (r *run) findTools(ctx context.Context) error {
	var err error
	if r.tools, err = r.openTools(ctx); err != nil {
		return err
	}
	if r.o.NoEmulator {
		return nil
	}
	for _, name := range r.setup.Foreign {
		a, _ := arch.Lookup(name)
		if err := r.findEmulator(ctx, a); err != nil {
			return err
		}
	}
	if r.o.EmulateAll && len(r.setup.Emulators) == 0 {
		return fail(KindEmulator, r.root.Name, fmt.Errorf("there is no emulator for %s on PATH", r.root.Arch.Name))
	}
	return nil
}

// environment is the clean environment of the command, with the user's additions.
func environment(add []string, terminal bool) []string {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh",
		"SYSTEMD_OFFLINE=1",
	}
	if terminal {
		if term := os.Getenv("TERM"); term != "" {
			env = append(env, "TERM="+term)
		}
	}
	for _, e := range add {
		key, _, _ := strings.Cut(e, "=")
		for i, old := range env {
			if strings.HasPrefix(old, key+"=") {
				env = append(env[:i], env[i+1:]...)
				break
			}
		}
		env = append(env, e)
	}
	return env
}

// converse follows the worker's events to the end of the run.
func (r *run) converse(ctx context.Context) (*Result, error) {
	result := &Result{Report: &protocol.Report{}}
	stop := r.watch(ctx)
	defer stop()
	for {
		var e protocol.Event
		files, err := r.conn.Receive(&e)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the worker ended unexpectedly")
			}
			return nil, fail(KindKilled, r.root.Name, err)
		}
		switch e.Kind {
		case protocol.EventPty:
			if err := r.stdio.attach(files); err != nil {
				return nil, err
			}
		case protocol.EventStarted:
			r.lap("start")
		case protocol.EventWarning:
			r.warn(e.Text)
		case protocol.EventPackages:
			if r.follower != nil && e.Packages != nil {
				r.follower.follow(ctx, *e.Packages)
			}
		case protocol.EventExited:
			r.follower.stop()
			result.Exit = *e.Exit
			result.TimedOut, result.Killed, result.Interrupted = r.timedOut.Load(), r.killed.Load(), int(r.interrupted.Load())
			if err := r.stdio.drain(); err != nil {
				return nil, fail(KindOutput, "", err)
			}
		case protocol.EventChanges:
			result.Manifest = e.Manifest
			order := protocol.Order{Kind: protocol.OrderDiscard}
			if r.keeps(result, e.Report) {
				order.Kind = protocol.OrderCommit
				stop() // from here on nothing interrupts
			}
			if err := r.conn.Send(order); err != nil {
				return nil, fail(KindKilled, r.root.Name, err)
			}
		case protocol.EventNode:
			if err := r.conn.Send(r.makeNode(e.Node, files)); err != nil {
				return nil, fail(KindKilled, r.root.Name, err)
			}
		case protocol.EventCommitted, protocol.EventDiscarded:
			result.Committed = e.Kind == protocol.EventCommitted
			result.Report = e.Report
			return result, nil
		case protocol.EventFailed:
			return nil, fromWorker(e.Error)
		}
	}
}

// keeps decides whether the changes are committed.
func (r *run) keeps(result *Result, report *protocol.Report) bool {
	switch r.o.Keep {
	case KeepNever:
		return false
	case KeepAlways:
		return true
	case KeepAsk:
		return len(report.Changes) > 0 && r.o.Ask != nil && r.o.Ask(report)
	}
	return result.Exit.Code == 0 && result.Exit.Exec == "" && !result.TimedOut
}

// watch ends the run when its time is over or the context is.
func (r *run) watch(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	var timeout <-chan time.Time
	if r.o.Timeout > 0 {
		timeout = time.After(r.o.Timeout)
	}
	signals, forget := r.forward()
	go func() {
		for {
			select {
			case <-done:
				return
			case <-timeout:
				r.timedOut.Store(true)
				_ = r.conn.Send(protocol.Order{Kind: protocol.OrderKill})
				timeout = nil
			case <-ctx.Done():
				_ = r.conn.Send(protocol.Order{Kind: protocol.OrderKill})
				return
			case o := <-signals:
				if o.Kind == protocol.OrderKill {
					r.killed.Store(true)
				}
				_ = r.conn.Send(o)
			}
		}
	}()
	closed := false
	return func() {
		if !closed {
			closed = true
			close(done)
			forget()
		}
	}
}

// closeTools lets go of the tool roots.
func (r *run) closeTools() {
	if r.tools != nil {
		r.tools.Close()
	}
	_ = r.follower.close()
	for _, e := range r.emulators {
		e.Close()
	}
}

// cleanUp removes what the run laid on the disk.
func (r *run) cleanUp() {
	if r.spool == "" {
		return
	}
	// The worker has emptied it; what it could not (killed) the next run on this ROOT will.
	if err := os.Remove(r.spool); err != nil && !errors.Is(err, os.ErrNotExist) {
		r.warn(fmt.Sprintf("files of the run are left in %s: the next run on %s removes them", r.spool, r.root.Name))
	}
}
