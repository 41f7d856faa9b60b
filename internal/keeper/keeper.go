// Package keeper is the process that owns a wrap: in a user namespace above the builder's it registers the dispatcher
// for every foreign architecture, and answers what processes in the builder's chroots and containers ask: it attaches
// a hidden directory to their roots while they run, decides about executables, and takes all of it away again before
// the builder goes on. What it leaves in a root is nothing. It knows nothing of builders; it trusts nothing that a
// process or a root says.
package keeper

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/kernel/binfmt"
	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
)

// keeper is the state of one wrap.
type keeper struct {
	conn     *fdsock.Conn
	setup    Setup
	policy   *policy.Policy
	handlers *binfmt.Table
	listener *seccomp.Listener
	first    *os.Process
	ordered  atomic.Bool
	umask    int      // the caller's
	notes    *os.File // see Note
	host     *os.File // the host's tree, if the builder's is another one
	nobody   *os.File // a user namespace without ids

	// By name: the architecture whose handler gets an architecture's executables.
	handlerOf map[string]string

	hostRoot  identity // the builder's own root, where nothing is attached
	builderNS uint64   // the builder's mount namespace

	mu       sync.Mutex
	roots    map[identity]*root
	pending  map[int]*pending
	returned map[int]*returned
	attached map[int]*attachment // by the thread group that it was made for
	tools    map[string]*tools   // by base directory
	sealed   map[string]string   // host path → where its file is, read-only for good
	answers  map[int]chan Order
	asked    int
	nodes    []broker.PlacedNode
	byFD     map[string]int // executions by the emulator's descriptor, by path
}

// Main runs the keeper; descriptor 3 is the connection to the outside process.
func Main() int {
	k := &keeper{
		conn:  fdsock.Open(os.NewFile(3, "crossroot")),
		roots: map[identity]*root{}, pending: map[int]*pending{}, returned: map[int]*returned{}, attached: map[int]*attachment{},
		tools: map[string]*tools{}, sealed: map[string]string{}, answers: map[int]chan Order{}, byFD: map[string]int{},
	}
	if err := k.run(); err != nil {
		_ = k.conn.Send(Event{Kind: EventFailed, Failure: failure(err)})
		return 1
	}
	return 0
}

func (k *keeper) run() error {
	files, err := k.conn.Receive(&k.setup)
	if err != nil {
		return err
	}
	if len(files) == 1 {
		k.notes = files[0]
	}
	runtime.LockOSThread() // PDEATHSIG of children follows the thread that made them
	// The end of the outside process is seen by the connection; there is something to take away then.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	if err := userns.BecomeRoot(); err != nil {
		return err
	}
	k.umask = unix.Umask(0)
	if k.policy, err = k.readPolicy(); err != nil {
		return err
	}
	if err := k.protect(); err != nil {
		return err
	}
	// The builder's first process is made before the host's tree moves aside here, and waits.
	first, err := k.startFirst()
	if err != nil {
		return err
	}
	exit, err := k.serve(first)
	if err != nil {
		k.kill()
		_, _ = k.first.Wait()
		return err
	}
	if left := k.placeholders(); len(left) > 0 {
		k.warn("%s and %d more are plain files where device nodes were asked for, which no user namespace may make", left[0], len(left)-1)
	}
	return k.conn.Send(Event{Kind: EventExited, Exit: exit, Roots: k.report()})
}

func (k *keeper) readPolicy() (*policy.Policy, error) {
	decisions, err := policy.Default()
	if err != nil || len(k.setup.Policy) == 0 {
		return decisions, err
	}
	user, err := policy.Parse(k.setup.PolicyName, k.setup.Policy)
	if err != nil {
		return nil, &Error{Kind: "policy", Err: err}
	}
	return decisions.With(user), nil
}

// serve prepares everything, lets the builder go, and answers until it has ended.
func (k *keeper) serve(first *fdsock.Conn) (*protocol.Exit, error) {
	if err := k.layOut(); err != nil {
		return nil, err
	}
	if err := k.register(); err != nil {
		return nil, err
	}
	go k.listen()
	exit, err := k.converse(first)
	if _, werr := k.first.Wait(); err == nil && werr != nil {
		err = werr
	}
	k.releaseAll()
	if exit == nil && err == nil {
		exit = &protocol.Exit{Code: 128 + int(unix.SIGKILL), Signal: int(unix.SIGKILL)}
	}
	return exit, err
}

// listen takes the outside process's orders; when it is gone, so is the wrap.
func (k *keeper) listen() {
	for {
		var o Order
		if _, err := k.conn.Receive(&o); err != nil {
			k.kill()
			_, _ = k.first.Wait()
			k.releaseAll()
			os.Exit(1)
		}
		switch o.Kind {
		case OrderSignal:
			s := syscall.Signal(o.Signal)
			if s == unix.SIGINT || s == unix.SIGQUIT {
				s += passedOn
			}
			_ = k.first.Signal(s)
		case OrderKill:
			k.ordered.Store(true)
			k.kill()
		case OrderTools:
			k.mu.Lock()
			c := k.answers[o.ID]
			delete(k.answers, o.ID)
			k.mu.Unlock()
			if c != nil {
				c <- o
			}
		}
	}
}

// kill ends the builder's first process and with it everything.
func (k *keeper) kill() {
	if p := k.first; p != nil {
		_ = p.Kill()
	}
}

func (k *keeper) warn(format string, args ...any) {
	_ = k.conn.Send(Event{Kind: EventWarning, Text: fmt.Sprintf(format, args...)})
}

// Error is a failure with a stable kind.
type Error = protocol.Error

func failure(err error) *protocol.Failure { return protocol.FailureOf(err) }
