package broker

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/toolroot"
	"github.com/crossroot/crossroot/internal/twin/state"
)

// Follower brings the tool root up with the packages that a run installs.
type Follower struct {
	Start *os.File // the root as it was before the run; nil: the first question is always asked
	// Next makes a tool root for the root as it is now; nil, without an error, if nothing is to be had that would change
	// it. show puts it in place of the one before. With both a tool root and an error it is as good as it gets.
	Next func(state.State) (next *toolroot.Index, show func() error, err error)
	// Failed is told, once, why the tool root can't follow.
	Failed func(reason string)
}

// maxFollows bounds how often a run's tool root follows: each time costs about as much as a package's installation.
const maxFollows = 100

// following is how far the tool root has come.
type following struct {
	one   sync.Mutex // held by whoever follows: others wait for it
	sum   string     // of the state that was asked about last
	asked int

	// Under the broker's lock:
	failed  string          // why it can't follow; "" as long as it can
	lacking map[string]bool // entries of the exec map that hold until the package database changes
	watch   *watch
}

// mayFollow reports whether another tool root may be had for a decision that lacks something. Under the lock.
func (b *Broker) mayFollow(d policy.Decision) bool {
	return b.Follower != nil && b.following.failed == "" && lacking(d)
}

// lacking says whether another tool root could change a decision.
func lacking(d policy.Decision) bool {
	found := false
	mapOutcomes(d, func(d *policy.Decision) { found = found || d.Lacking })
	return found
}

// follow asks for the tool root that fits the packages that the root has now. It is not to be called under the lock:
// whoever needs nothing is served meanwhile.
func (b *Broker) follow() {
	f := &b.following
	f.one.Lock()
	defer f.one.Unlock()
	b.mu.Lock()
	failed := f.failed
	b.mu.Unlock()
	if failed != "" {
		return
	}
	b.watchPackages() // before the database is read: no change is missed
	s, sum, err := b.packagesNow(b.Root, state.LargestWhileRun)
	switch {
	case errors.Is(err, state.ErrNone):
		return
	case err != nil:
		b.cannotFollow(err)
		return
	}
	if f.sum == "" && b.Follower.Start != nil {
		_, f.sum, _ = b.packagesNow(b.Follower.Start, state.Largest) // the twin was made from it: it could be read
	}
	if sum == f.sum {
		return
	}
	f.sum = sum
	if f.asked++; f.asked > maxFollows {
		b.cannotFollow(fmt.Errorf("the run changed its packages more than %d times", maxFollows))
		return
	}
	next, show, err := b.Follower.Next(s)
	if next != nil {
		err = cmp.Or(b.adopt(next, show), err)
	}
	if err != nil {
		b.cannotFollow(err)
	}
}

func (b *Broker) packagesNow(root *os.File, limit int64) (s state.State, sum string, err error) {
	if s, err = state.Read(root, limit); err == nil {
		sum, err = s.Sum(b.Target.Debian)
	}
	return s, sum, err
}

// cannotFollow gives up: what fails once would fail, and cost as much, at every program.
func (b *Broker) cannotFollow(err error) {
	b.mu.Lock()
	first := b.following.failed == ""
	if first {
		b.following.failed = err.Error()
	}
	b.mu.Unlock()
	if first && b.Follower.Failed != nil {
		b.Follower.Failed(err.Error())
	}
}

// adopt takes a new tool root. Everything that was decided by the old one is forgotten before it is shown, and decided
// again when it is executed next.
func (b *Broker) adopt(next *toolroot.Index, show func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tally()
	for entry, d := range b.decisions {
		if strings.HasPrefix(entry, b.mapDir(d.arch)+"/exec/") {
			delete(b.decisions, entry)
			_ = os.RemoveAll(b.here(b.mapDir(d.arch) + "/exec"))
		}
	}
	b.following.lacking = nil
	if err := show(); err != nil {
		return err
	}
	b.Tools = next
	b.perl.ready, b.python.ready = false, false
	return nil
}

// explainLacking completes the reason of a decision that could have been better, and remembers its entry.
func (b *Broker) explainLacking(entry string, d *policy.Decision) {
	if b.Follower == nil || !lacking(*d) {
		return
	}
	if why := b.following.failed; why != "" {
		d.Reason += "; the twin could not follow: " + why
		return
	}
	if b.following.lacking == nil {
		b.following.lacking = map[string]bool{}
	}
	b.following.lacking[entry] = true
}

// watchPackages has decisions that lacked something made again when the package database changes.
func (b *Broker) watchPackages() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.following.watch == nil {
		matters := func(name string, _ bool) bool { return name == "status" || strings.Trim(name, "0123456789") == "" }
		w, err := b.newWatch(matters, b.expireLacking)
		if err != nil {
			return // they hold to the end of the run
		}
		b.following.watch = w
	}
	b.watchDirs(b.following.watch, []string{"/var/lib/dpkg", "/var/lib/dpkg/updates"})
}

// expireLacking forgets the decisions that lacked something.
func (b *Broker) expireLacking() {
	if len(b.following.lacking) == 0 {
		return
	}
	b.tally()
	for entry := range b.following.lacking {
		delete(b.decisions, entry)
		_ = os.RemoveAll(b.here(entry))
		_ = os.RemoveAll(b.here(entry + ".e"))
	}
	b.following.lacking = nil
}
