// Package wrap runs a command, a builder of roots or images as it is, in such a way that every foreign executable which
// it starts in whatever chroot or container is dispatched; this is the part outside. It starts the keeper, finds
// a tool root for each root that the keeper meets, forwards signals and keeps the time. It promises nothing about what the
// command does to the caller's files: they are the caller's.
package wrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/keeper"
	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
)

// Options of a wrap.
type Options struct {
	Command  []string
	Tools    string // as session.Options.Tools
	Policy   string // the user's policy file
	Fidelity policy.Fidelity
	NoNet    bool
	NoSync   bool
	Protect  bool
	Writable []string
	Stubs    bool
	Timeout  time.Duration

	Dirs     session.Dirs
	Stdio    [3]*os.File
	Warn     func(text string)
	Progress func(done, total int, what string)
}

// Result is how it ended.
type Result struct {
	Exit     protocol.Exit
	TimedOut bool
	Roots    []keeper.Root
	Duration time.Duration
}

// wrap is the state of one.
type wrap struct {
	o     Options
	setup keeper.Setup
	conn  *fdsock.Conn
	notes *os.File
	tools finder

	asks     sync.WaitGroup
	timedOut atomic.Bool
}

// Run runs the command to its end.
func Run(ctx context.Context, o Options) (*Result, error) {
	began := time.Now()
	heard := make(chan os.Signal, 16)
	signal.Notify(heard, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(heard)
	if keeper.Present() {
		return nested(o, heard)
	}
	w := &wrap{o: o}
	w.tools = finder{o: &w.o, roots: map[int]*found{}}
	defer w.tools.close()
	w.cleanUp()
	ids, err := w.prepare()
	if err != nil {
		return nil, err
	}
	if w.notes, err = openNotes(o.Dirs); err != nil {
		return nil, &session.Error{Kind: session.KindState, Err: err}
	}
	defer w.forget()
	process, err := w.start(ids)
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = process.Wait() }()
	defer w.conn.Close()
	w.letGo()
	go w.forward(heard)
	if o.Timeout > 0 {
		timer := time.AfterFunc(o.Timeout, func() {
			w.timedOut.Store(true)
			_ = w.conn.Send(keeper.Order{Kind: keeper.OrderKill})
		})
		defer timer.Stop()
	}
	result, err := w.converse(ctx)
	if err != nil {
		return nil, err
	}
	if o.NoSync {
		unix.Sync()
	}
	result.TimedOut, result.Duration = w.timedOut.Load(), time.Since(began)
	return result, nil
}

// prepare collects what the keeper needs to know, and decides the ids.
func (w *wrap) prepare() (userns.Map, error) {
	s := &w.setup
	s.Command, s.NoNet, s.NoSync, s.Protect, s.Stubs = w.o.Command, w.o.NoNet, w.o.NoSync, w.o.Protect, w.o.Stubs
	s.Fidelity = w.o.Fidelity
	caller := userns.ReadCaller()
	s.Env = environment(caller)
	var err error
	if s.Workdir, err = os.Getwd(); err != nil {
		return userns.Map{}, err
	}
	if w.o.Protect {
		for _, name := range append([]string{s.Workdir}, w.o.Writable...) {
			full, err := filepath.Abs(name)
			if err == nil {
				full, err = filepath.EvalSymlinks(full)
			}
			if err != nil {
				return userns.Map{}, &session.Error{Kind: session.KindBind, Path: name, Err: fmt.Errorf("--rw: %w", err)}
			}
			s.Writable = append(s.Writable, full)
		}
	}
	if w.o.Policy != "" {
		if s.Policy, err = session.ReadPolicy(w.o.Policy); err != nil {
			return userns.Map{}, err
		}
		s.PolicyName = w.o.Policy
	}
	if s.Image, err = w.o.Dirs.ImageFile(); err != nil {
		return userns.Map{}, &session.Error{Kind: session.KindState, Err: err}
	}
	for _, a := range arch.All() {
		if static, _ := session.Emulator(a); static != "" && !a.RunsNativelyOn(arch.Host()) {
			s.Emulators = append(s.Emulators, protocol.Emulator{Arch: a.Name, File: protocol.Tree{Path: static, FD: -1}, CPU: a.QemuCPU})
		}
	}
	if len(s.Emulators) == 0 {
		w.warn("no static emulator is on PATH (package qemu-user-static): what can't run natively will fail")
	}
	ids, err := caller.BuilderMap()
	if err != nil {
		return ids, &session.Error{Kind: session.KindSubIDs, Path: caller.Name, Err: err}
	}
	s.UIDs, s.GIDs = ranges(ids.UIDs), ranges(ids.GIDs)
	return ids, nil
}

// environment is the caller's own. Container tools of a user take it from the variables that they set for themselves in
// a namespace like this one.
func environment(c userns.Caller) []string {
	env := os.Environ()
	if c.UID != 0 {
		env = append(env, "_CONTAINERS_USERNS_CONFIGURED=done",
			"_CONTAINERS_ROOTLESS_UID="+strconv.Itoa(c.UID), "_CONTAINERS_ROOTLESS_GID="+strconv.Itoa(c.GID))
	}
	return env
}

func ranges(in []userns.Range) []protocol.Range {
	var out []protocol.Range
	for _, r := range in {
		out = append(out, protocol.Range(r))
	}
	return out
}

// start starts the keeper.
func (w *wrap) start(ids userns.Map) (*os.Process, error) {
	conn, theirs, err := fdsock.Pair()
	if err != nil {
		return nil, err
	}
	process, err := userns.SpawnInGroup(keeper.Name, []string{}, unix.CLONE_NEWUSER|unix.CLONE_NEWNS, w.o.Stdio[0], w.o.Stdio[1], w.o.Stdio[2], theirs)
	theirs.Close()
	if err != nil {
		conn.Close()
		return nil, &session.Error{Kind: session.KindUserns, Err: fmt.Errorf("make namespaces: %w", err)}
	}
	if err := errors.Join(ids.Write(process.Pid), conn.Send(w.setup, w.notes)); err != nil {
		_ = process.Kill()
		_, _ = process.Wait()
		conn.Close()
		kind := session.KindUserns
		if errors.Is(err, userns.ErrNoHelper) {
			kind = session.KindSubIDs
		}
		return nil, &session.Error{Kind: kind, Err: err}
	}
	w.conn = conn
	return process, nil
}

// letGo leaves standard input and output to the command, so that whoever reads or writes them sees their end. Terminals
// have none, and tell who is in the foreground.
func (w *wrap) letGo() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer null.Close()
	for _, f := range w.o.Stdio[:2] {
		if !term.IsTerminal(int(f.Fd())) {
			_ = unix.Dup3(int(null.Fd()), int(f.Fd()), 0)
		}
	}
}

// converse takes what the keeper tells, until the command has ended.
func (w *wrap) converse(ctx context.Context) (*Result, error) {
	ctx, stop := context.WithCancel(ctx)
	defer w.asks.Wait()
	defer stop()
	for {
		var e keeper.Event
		files, err := w.conn.Receive(&e)
		if errors.Is(err, io.EOF) {
			return nil, &session.Error{Kind: session.KindInternal, Err: errors.New("the keeper ended without a word (killed?)")}
		}
		if err != nil {
			return nil, err
		}
		switch e.Kind {
		case keeper.EventWarning:
			w.warn(e.Text)
		case keeper.EventTools:
			w.asks.Go(func() {
				_ = w.conn.Send(w.tools.find(ctx, e, files))
				closeAll(files) // an open descriptor would keep the builder from unmounting the root
			})
			continue
		case keeper.EventExited:
			return &Result{Exit: *e.Exit, Roots: e.Roots}, nil
		case keeper.EventFailed:
			return nil, &session.Error{Kind: session.Kind(e.Failure.Kind), Err: e.Failure}
		}
		closeAll(files)
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// forward passes signals on to the command. What a terminal sends has reached it already.
func (w *wrap) forward(heard <-chan os.Signal) {
	for s := range heard {
		if (s == unix.SIGINT || s == unix.SIGQUIT) && w.foreground() {
			continue
		}
		if n, ok := s.(syscall.Signal); ok {
			_ = w.conn.Send(keeper.Order{Kind: keeper.OrderSignal, Signal: int(n)})
		}
	}
}

// foreground reports whether this process is in the foreground of a terminal, whose signals the command gets as well.
func (w *wrap) foreground() bool {
	return slices.ContainsFunc(w.o.Stdio[:], func(f *os.File) bool {
		if !term.IsTerminal(int(f.Fd())) {
			return false
		}
		group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
		return err == nil && group == unix.Getpgrp()
	})
}

func (w *wrap) warn(text string) {
	if w.o.Warn != nil {
		w.o.Warn(text)
	}
}
