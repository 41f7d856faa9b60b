package worker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/dispatcher"
	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
	"github.com/crossroot/crossroot/internal/pid1"
	"github.com/crossroot/crossroot/internal/protocol"
)

// execute starts pid 1 and sees the command through to its end; when it returns, no process of the run is left.
func (w *worker) execute() (*protocol.Exit, error) {
	filter, err := seccomp.Filter(runtime.GOARCH, dispatcher.Magic)
	if err != nil {
		return nil, err
	}
	conn, theirs, err := fdsock.Pair()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()

	w.init, err = os.StartProcess(protocol.HiddenDir+"/self", []string{protocol.InitName}, &os.ProcAttr{
		Env:   []string{},
		Dir:   "/",
		Files: []*os.File{null, null, os.Stderr, theirs},
		Sys:   &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS},
	})
	theirs.Close()
	if err != nil {
		return nil, fmt.Errorf("start pid 1: %w", err)
	}
	exit, err := w.converse(conn, filter)
	if err != nil {
		w.kill()
	}
	if _, werr := w.init.Wait(); err == nil && werr != nil {
		err = werr
	}
	close(w.over) // who waits for a tool root waits no longer
	if w.broker != nil {
		w.broker.Close()
	}
	if exit == nil && w.ordered.Load() {
		return &protocol.Exit{Code: 128 + int(unix.SIGKILL), Signal: int(unix.SIGKILL)}, nil
	}
	if exit == nil && err == nil {
		err = &Error{Kind: "killed", Err: errors.New("the run was killed before the command ended")}
	}
	return exit, err
}

// converse gives pid 1 its orders and takes what it tells, until it ends.
func (w *worker) converse(conn *fdsock.Conn, filter []unix.SockFilter) (*protocol.Exit, error) {
	s := &w.setup
	stdio := 0
	for _, kind := range s.Stdio {
		if kind == protocol.StdioFD {
			stdio++
		}
	}
	err := conn.Send(protocol.Init{
		Command: s.Command, Env: s.Env, Workdir: s.Workdir, Stdio: s.Stdio, Rows: s.Rows, Columns: s.Columns,
		Ranges: [2][]protocol.Range{s.UIDs, s.GIDs}, Filter: pid1.EncodeFilter(filter),
		Mounts: s.ToolCache != nil,
	}, w.passed[:stdio]...)
	if err != nil {
		return nil, err
	}
	for _, f := range w.passed[:stdio] {
		f.Close() // a pipe's reader sees the end only when the last writer is gone
	}
	for {
		var e protocol.InitEvent
		files, err := conn.Receive(&e)
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		switch e.Kind {
		case protocol.InitListener:
			if len(files) != 1 {
				return nil, errors.New("pid 1 sent no listener")
			}
			w.broker.Serve(seccomp.NewListener(files[0]))
		case protocol.InitPty:
			if err := w.conn.Send(protocol.Event{Kind: protocol.EventPty}, files...); err != nil {
				return nil, err
			}
			for _, f := range files {
				f.Close()
			}
		case protocol.InitStarted:
			w.lap("start")
			w.sample()
			if err := w.conn.Send(protocol.Event{Kind: protocol.EventStarted}); err != nil {
				return nil, err
			}
		case protocol.InitExited:
			return e.Exit, nil
		case protocol.InitFailed:
			return nil, e.Failure
		}
	}
}
