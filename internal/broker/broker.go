// Package broker answers what processes inside ask through the seccomp listener: what runs in place of an executable
// (it owns the exec map), an emulator's descriptor, the CPU's name, harmless device nodes. It promises that a request
// gains its maker nothing but what the policy says of the file that the kernel shows; nothing a peer says about itself
// is believed. It knows nothing of how the sandbox was made or what becomes of the changes.
package broker

import (
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/dispatcher"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// Options of a broker.
type Options struct {
	Root      *os.File // the target root as it was before the run
	Target    arch.Arch
	Host      arch.Arch
	Policy    *policy.Policy
	Fidelity  policy.Fidelity
	Tools     *toolroot.Index // nil: no tool root
	Emulators map[string]bool // architectures that an emulator is there for
	Dispatch  bool            // false: the host runs the target itself
	// EmulateAll makes every native outcome, and every builtin that can be, an emulation; stubs stay.
	EmulateAll bool
	Except     []protocol.Executable // from EmulateAll: decided as ever

	// Hidden is where this process sees the run's hidden directory; "": at its own name.
	Hidden string
	// Handlers names the dispatcher's handler for architectures whose executables another's handler gets; it is that
	// handler's directory which has the exec map.
	Handlers map[string]string
	// NoStubs leaves what would be stubbed to the target's own program.
	NoStubs bool

	// Record is the file in which the dispatcher notes executions; "": nowhere.
	Record string
	// Follower, if not nil, brings the tool root up with the packages that the run installs.
	Follower *Follower

	// ToolFile finds a file of the tool root by its path inside; nil: it is at that path.
	ToolFile func(inside string) string
}

// Broker serves one run.
type Broker struct {
	Options
	listener *seccomp.Listener
	done     chan struct{}
	answers  sync.WaitGroup
	watching sync.WaitGroup

	mu        sync.Mutex
	decisions map[string]*decided          // by exec-map name
	nameless  map[string]*protocol.Program // by path: what count noted
	rows      int                          // numbered decisions under /.cr/do
	nodes     map[string]protocol.Node
	refused   []string
	perl      perlState
	costs     costs
	python    pythonState
	sums      sums

	following following
}

// decided is a decision with what the report wants of it.
type decided struct {
	path, applet string
	arch         arch.Arch
	decision     policy.Decision
	order        string // the name to execute for an ordered one
	python       bool   // it holds until python's modules change
	ordered      bool   // crossroot's own entry carries it out, and notes what happened
}

// Adviser makes a broker that only explains.
func Adviser(o Options) *Broker { return &Broker{Options: o} }

// New makes the broker and the parts of the exec map that exist before anything runs.
func New(o Options) (*Broker, error) {
	b := &Broker{Options: o, decisions: map[string]*decided{}, nodes: map[string]protocol.Node{}, done: make(chan struct{})}
	if !o.Dispatch {
		return b, nil
	}
	return b, b.mapScripts()
}

// Serve answers requests until no process with the filter is left.
func (b *Broker) Serve(l *seccomp.Listener) {
	b.listener = l
	go func() {
		defer close(b.done)
		for {
			r, err := l.Receive()
			if err != nil {
				return
			}
			b.answers.Go(func() { b.answer(r) })
		}
	}()
}

// Close waits for the last answer, so that nothing holds a file of the root any more; call it when pid 1 has ended.
func (b *Broker) Close() {
	if b.listener != nil {
		<-b.done
		b.answers.Wait()
		b.listener.Close()
	}
	b.closeWatches()
	b.costs.close()
}

// answer serves one request. A maker that is gone meanwhile is nobody's problem.
func (b *Broker) answer(r seccomp.Request) {
	switch r.Call {
	case seccomp.CallUname:
		b.uname(r)
	case seccomp.CallMknod:
		b.mknod(r, unix.AT_FDCWD, r.Args[0], uint32(r.Args[1]), r.Args[2])
	case seccomp.CallMknodat:
		b.mknod(r, int(int32(r.Args[0])), r.Args[1], uint32(r.Args[2]), r.Args[3])
	case seccomp.CallSocketcall:
		b.socket(r)
	case seccomp.CallMagic:
		switch r.Args[0] {
		case dispatcher.RequestMiss:
			_ = b.listener.Answer(r.ID, 0, b.miss(b.listener, r, ""))
		case dispatcher.RequestEmulator:
			b.emulator(r)
		default:
			_ = b.listener.Answer(r.ID, 0, unix.EINVAL)
		}
	default:
		_ = b.listener.Answer(r.ID, 0, unix.ENOSYS)
	}
}

// emulator hands over the emulator of the architecture whose dispatcher asks.
func (b *Broker) emulator(r seccomp.Request) {
	name, err := readString(r.PID, r.Args[1], 64)
	if err != nil {
		_ = b.listener.Answer(r.ID, 0, unix.EFAULT)
		return
	}
	for a := range b.Emulators {
		if name == protocol.HiddenDir+"/"+a+"/entry" {
			f, err := os.Open(protocol.HiddenDir + "/" + a + "/qemu")
			if err != nil {
				break
			}
			defer f.Close()
			path := b.peerPath(r)
			b.costs.start()
			if b.listener.AnswerFD(r.ID, f, unix.O_CLOEXEC) == nil {
				b.count(path, policy.Decision{Outcome: policy.Emulate, Reason: "executed where the hidden directory can't be seen (nested chroot), or without a name"})
			}
			return
		}
	}
	_ = b.listener.Answer(r.ID, 0, unix.ENOENT)
}

// peerPath is the path of the executable that a request names by descriptor.
func (b *Broker) peerPath(r seccomp.Request) string {
	if f, err := descriptor(r.PID, int(int32(r.Args[2]))); err == nil {
		defer f.Close()
		if name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd()))); err == nil {
			return name
		}
	}
	return "(unknown)"
}

// maxNameless bounds how many paths count tells apart.
const maxNameless = 1000

// count notes an execution that the record can't hold.
func (b *Broker) count(path string, d policy.Decision) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.nameless == nil {
		b.nameless = map[string]*protocol.Program{}
	}
	p := b.nameless[path]
	if p == nil {
		if len(b.nameless) >= maxNameless {
			return
		}
		p = &protocol.Program{Path: path, Outcome: d.Outcome, Reason: d.Reason}
		b.nameless[path] = p
	}
	p.Count++
}
