// Package worker is the process that owns a run: in the user namespace whose ids are shifted (or subordinate), with
// its own mounts, it lays out the merged root, registers the dispatcher, starts pid 1, answers the broker's requests,
// and commits or discards. It works for the outside process alone and dies with it; it trusts nothing that lies in the
// root or comes from a script, and knows nothing of terminals, locks and reports' looks.
package worker

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/kernel/at"
	"github.com/crossroot/crossroot/internal/kernel/binfmt"
	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/protocol"
)

// Main runs the worker; descriptor 3 is the connection to the outside process.
func Main() int {
	w := &worker{conn: fdsock.Open(os.NewFile(3, "crossroot")), orders: make(chan protocol.Order, 16), began: time.Now(),
		answers: make(chan protocol.Order, 1), over: make(chan struct{})}
	if err := w.run(); err != nil {
		_ = w.conn.Send(protocol.Event{Kind: protocol.EventFailed, Error: failure(err)})
		return 1
	}
	return 0
}

// worker is the state of one run.
type worker struct {
	conn   *fdsock.Conn
	orders chan protocol.Order
	// answers are those to EventPackages; over is closed when nothing runs any more.
	answers chan protocol.Order
	over    chan struct{}
	setup   protocol.Setup
	passed  []*os.File // descriptors of the setup message
	began   time.Time
	times   []protocol.Time

	layout   layout
	handlers *binfmt.Table
	broker   *broker.Broker
	init     *os.Process
	ordered  atomic.Bool // the end was ordered: by a timeout or a signal
	settling atomic.Bool // the command has ended and nothing is kept yet
	warning  sync.Mutex  // guards warnings while the command runs
	warnings []string
	points   []point // made for binds
	started  at.Time // just before the overlay was mounted
}

func (w *worker) run() error {
	var err error
	if w.passed, err = w.conn.Receive(&w.setup); err != nil {
		return err
	}
	runtime.LockOSThread() // PDEATHSIG of children follows the thread that made them
	if err := userns.BecomeRoot(); err != nil {
		return err
	}
	unix.Umask(0)
	if err := w.layOut(); err != nil {
		return err
	}
	w.lap("layout")
	if err := w.prepareDispatch(); err != nil {
		return err
	}
	w.lap("dispatch")
	go w.listen()
	exit, err := w.execute()
	if err != nil {
		_ = w.dissolve()
		_ = w.clearSpool()
		return err
	}
	w.lap("command")
	if err := w.conn.Send(protocol.Event{Kind: protocol.EventExited, Exit: exit}); err != nil {
		return err
	}
	return w.settle()
}

// lap notes the time since the last one under the phase's name.
func (w *worker) lap(phase string) {
	now := time.Now()
	w.times = append(w.times, protocol.Time{Phase: phase, Micro: now.Sub(w.began).Microseconds()})
	w.began = now
}

// warn tells the user something that doesn't stop the run.
func (w *worker) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.warning.Lock()
	w.warnings = append(w.warnings, text)
	w.warning.Unlock()
	_ = w.conn.Send(protocol.Event{Kind: protocol.EventWarning, Text: text})
}

// listen takes the outside process's orders; when it is gone, so is the run.
func (w *worker) listen() {
	for {
		var o protocol.Order
		if _, err := w.conn.Receive(&o); err != nil {
			w.kill()
			os.Exit(1)
		}
		switch o.Kind {
		case protocol.OrderSignal:
			if p := w.init; p != nil {
				_ = p.Signal(syscall.Signal(o.Signal))
			}
		case protocol.OrderKill:
			w.ordered.Store(true)
			w.kill()
			if w.settling.Load() { // pid 1 is gone: what takes so long is what the run left
				_ = w.conn.Send(protocol.Event{Kind: protocol.EventFailed, Error: failure(&Error{Kind: "killed", Err: errors.New("killed before it was known what changed")})})
				os.Exit(1)
			}
		case protocol.OrderTools:
			select {
			case w.answers <- o:
			default: // nobody waits
			}
		default:
			w.orders <- o
		}
	}
}

// kill ends pid 1 and with it everything.
func (w *worker) kill() {
	if p := w.init; p != nil {
		_ = p.Kill()
	}
}

// Error is a failure with a stable kind.
type Error = protocol.Error

func failure(err error) *protocol.Failure { return protocol.FailureOf(err) }
