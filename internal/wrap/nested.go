package wrap

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
)

// nested runs the command as it is: the wrap that this process is part of dispatches for it. What that one doesn't promise
// can't be promised here.
func nested(o Options, heard <-chan os.Signal) (*Result, error) {
	if o.Protect || o.NoNet {
		return nil, &session.Error{Kind: session.KindNested, Err: errors.New("inside a wrap --protect and --net none can't be had: give them to the outer one")}
	}
	if o.NoSync || o.Policy != "" || o.Stubs {
		if o.Warn != nil {
			o.Warn("inside a wrap: the options of the outer one hold")
		}
	}
	began := time.Now()
	result := &Result{}
	file, err := exec.LookPath(o.Command[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		result.Exit = protocol.Exit{Code: 127, Exec: err.Error()}
		if !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, os.ErrNotExist) {
			result.Exit.Code = 126
		}
		return result, nil
	}
	process, err := os.StartProcess(file, o.Command, &os.ProcAttr{Files: o.Stdio[:]})
	if err != nil {
		result.Exit = protocol.Exit{Code: 126, Exec: err.Error()}
		return result, nil
	}
	w := &wrap{o: o}
	go func() {
		for s := range heard {
			if (s == unix.SIGINT || s == unix.SIGQUIT) && w.foreground() {
				continue
			}
			_ = process.Signal(s)
		}
	}()
	if o.Timeout > 0 {
		timer := time.AfterFunc(o.Timeout, func() {
			w.timedOut.Store(true)
			_ = process.Kill()
		})
		defer timer.Stop()
	}
	state, err := process.Wait()
	if err != nil {
		return nil, err
	}
	result.TimedOut, result.Duration = w.timedOut.Load(), time.Since(began)
	result.Exit.Code = state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		result.Exit = protocol.Exit{Code: 128 + int(status.Signal()), Signal: int(status.Signal())}
	}
	return result, nil
}
