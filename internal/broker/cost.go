package broker

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
)

// costInterval is how often the emulator's processes are looked at.
const costInterval = 100 * time.Millisecond

// userTick is the unit of the times in proc(5), for every CPU that crossroot runs on (USER_HZ).
const userTick = 10 * time.Millisecond

// costs estimates how much CPU time each emulated program takes, as a sampling profiler does: every interval, what a
// process used since the last look, or, at the first, of an interval the part that it used of its life so far. So what is
// not seen, processes that end between two looks and the ends of others, is made up for by what is. Nothing is sampled before a program
// is emulated, and what a process says of itself, its arguments, decides nothing but the report.
type costs struct {
	proc *os.File           // the run's own procfs
	mine func(pid int) bool // whether a process of proc is of the broker's root; nil: all are

	rootMu sync.Mutex
	root   *os.File // nil: nothing is dispatched in the root now

	mu    sync.Mutex
	stop  chan struct{}
	ended chan struct{}
	seen  map[int]sighting
	spent map[costKey]time.Duration
	names map[string]string // paths as executed → without links
}

type costKey struct{ path, called string }

// sighting is what was last seen of a process.
type sighting struct {
	started uint64 // in ticks since the machine's start: with the number it names a process
	used    time.Duration
}

// maxCosts bounds how many programs are told apart, as names are the command's own.
const maxCosts = 4096

// Sample makes the broker look at the processes of proc, a procfs of the run's pid namespace, from the first emulated
// execution on. Without it programs have no cost.
func (b *Broker) Sample(proc *os.File) {
	b.costs.mu.Lock()
	defer b.costs.mu.Unlock()
	b.costs.proc = proc
	b.costs.setRoot(b.Root)
}

// SampleOf is Sample for a procfs that has processes of other roots, too: mine tells which are of the broker's.
func (b *Broker) SampleOf(proc *os.File, mine func(pid int) bool) {
	b.costs.mu.Lock()
	defer b.costs.mu.Unlock()
	b.costs.proc, b.costs.mine = proc, mine
}

func (c *costs) setRoot(root *os.File) {
	c.rootMu.Lock()
	defer c.rootMu.Unlock()
	c.root = root
}

// emulates reports whether a decision can end in emulation.
func emulates(d policy.Decision) bool {
	for _, c := range d.ByArgs {
		if emulates(c.Then) {
			return true
		}
	}
	return d.Outcome == policy.Emulate
}

// start begins to sample, the first time.
func (c *costs) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc == nil || c.stop != nil {
		return
	}
	c.stop, c.ended = make(chan struct{}), make(chan struct{})
	c.seen, c.spent, c.names = map[int]sighting{}, map[costKey]time.Duration{}, map[string]string{}
	go func() {
		defer close(c.ended)
		tick := time.NewTicker(costInterval)
		defer tick.Stop()
		for {
			select {
			case <-c.stop:
				return
			case <-tick.C:
				c.look()
			}
		}
	}()
}

// close ends sampling and lets go of proc.
func (c *costs) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil {
		close(c.stop)
		<-c.ended
	}
	if c.proc != nil {
		c.proc.Close()
	}
	c.proc, c.stop = nil, nil
}

// look takes one sample.
func (c *costs) look() {
	names, err := fd.Readdirnames(c.proc, ".")
	if err != nil {
		return // the run has ended
	}
	now := sinceBoot()
	seen := map[int]sighting{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if s, ok := c.process(pid, now); ok {
			seen[pid] = s
		}
	}
	c.seen = seen
}

// process adds what one process used, if it is the emulator's.
func (c *costs) process(pid int, now time.Duration) (sighting, bool) {
	key, ok := c.emulated(pid)
	if !ok || c.mine != nil && !c.mine(pid) {
		return sighting{}, false
	}
	const limit = 4096
	text, err := fd.ReadFile(c.proc, strconv.Itoa(pid)+"/stat", limit)
	if err != nil {
		return sighting{}, false
	}
	used, started, ok := parseStat(text)
	if !ok {
		return sighting{}, false
	}
	used = max(used, c.precisely(pid))
	if old, known := c.seen[pid]; known && old.started == started {
		c.spend(key, used-old.used)
	} else {
		age := max(now-time.Duration(started)*userTick-userTick/2, userTick/2) // the start is cut to whole ticks
		c.spend(key, time.Duration(float64(costInterval)*float64(used)/float64(age)))
	}
	return sighting{started, used}, true
}

// precisely is the time of a process's first thread in nanoseconds (schedstat, Documentation/scheduler/sched-stats.rst in
// the kernel's source), where the kernel tells it: many processes end before they used up a tick.
func (c *costs) precisely(pid int) time.Duration {
	const limit = 128
	text, err := fd.ReadFile(c.proc, strconv.Itoa(pid)+"/schedstat", limit)
	if err != nil {
		return 0
	}
	word, _, _ := bytes.Cut(text, []byte(" "))
	n, err := strconv.ParseInt(string(word), 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n)
}

func (c *costs) spend(key costKey, d time.Duration) {
	if _, known := c.spent[key]; known || len(c.spent) < maxCosts {
		c.spent[key] += max(0, d)
	}
}

// emulated tells the program of a process that runs the emulator, by the arguments that the dispatcher gave it:
// emulator, perhaps -cpu MODEL, -0, the name the program is called by, its path.
func (c *costs) emulated(pid int) (costKey, bool) {
	f, err := fd.Open(c.proc, strconv.Itoa(pid)+"/cmdline", unix.O_RDONLY, 0)
	if err != nil {
		return costKey{}, false
	}
	defer f.Close()
	buf := make([]byte, 3*unix.PathMax)
	n, err := f.Read(buf)
	if err != nil {
		return costKey{}, false
	}
	called, file, ok := parseEmulator(buf[:n])
	if !ok {
		return costKey{}, false
	}
	return costKey{c.resolve(file), path.Base(strings.TrimPrefix(called, "-"))}, true
}

// resolve is a path as the decisions spell it, without links.
func (c *costs) resolve(file string) string {
	if known, ok := c.names[file]; ok {
		return known
	}
	name := file
	c.rootMu.Lock()
	defer c.rootMu.Unlock()
	if c.root == nil {
		return name
	}
	if f, err := fd.Open(c.root, file, unix.O_PATH, 0); err == nil && path.IsAbs(file) {
		top, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(c.root.Fd())))
		if err == nil {
			if to, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd()))); err == nil {
				name = "/" + strings.TrimPrefix(strings.TrimPrefix(to, top), "/")
			}
		}
		f.Close()
	}
	if len(c.names) < maxCosts {
		c.names[file] = name
	}
	return name
}

// parseEmulator reads a process's arguments, each ended by NUL.
func parseEmulator(cmdline []byte) (called, file string, ok bool) {
	words := bytes.SplitN(cmdline, []byte{0}, 7)
	if len(words) < 3 || !bytes.HasPrefix(words[0], []byte(protocol.HiddenDir+"/")) {
		return "", "", false
	}
	words = words[1:]
	if len(words) > 2 && string(words[0]) == "-cpu" {
		words = words[2:]
	}
	if len(words) < 4 || string(words[0]) != "-0" {
		return "", "", false
	}
	return string(words[1]), string(words[2]), true
}

// parseStat reads /proc/PID/stat (proc(5)): user and system time, and when the process started. The second field is a
// name in parentheses, which may hold any byte.
func parseStat(text []byte) (used time.Duration, started uint64, ok bool) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return 0, 0, false
	}
	fields := bytes.Fields(text[end+1:]) // from the third on
	if len(fields) < 20 {
		return 0, 0, false
	}
	user, err1 := strconv.ParseUint(string(fields[11]), 10, 40)
	system, err2 := strconv.ParseUint(string(fields[12]), 10, 40)
	started, err3 := strconv.ParseUint(string(fields[19]), 10, 40)
	if err1 != nil || err2 != nil || err3 != nil {
		return 0, 0, false
	}
	return time.Duration(user+system) * userTick, started, true
}

// sinceBoot is the clock that processes' start times are told by.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// share gives the programs of a report what they cost, about, and forgets it. Where several programs are one executable
// (applets), the name that it was called by decides.
func (c *costs) share(programs []protocol.Program) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, spent := range c.spent {
		best := -1
		for i, p := range programs {
			if p.Outcome != policy.Emulate || p.Path != key.path {
				continue
			}
			if best < 0 || p.Applet == key.called {
				best = i
			}
		}
		if best >= 0 {
			programs[best].AboutSeconds += spent.Seconds()
		}
	}
	c.spent = nil
}
