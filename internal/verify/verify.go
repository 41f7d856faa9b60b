// Package verify proves a run: it runs a command twice from the same start, dispatched and fully emulated, keeps
// neither result, compares what the two changed, and finds out which program made a difference. It promises that ROOT
// is left alone, and that a difference is shown unless the list of exemptions gives its reason. It knows nothing of how
// the runs are made.
package verify

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"time"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/exempt"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/tree"
)

// Blame says when the programs that made a difference are searched for.
type Blame string

// When to search.
const (
	BlameAuto   Blame = "auto" // when both runs together took less than a minute
	BlameAlways Blame = "always"
	BlameNever  Blame = "never"
)

// short is the time of both runs up to which BlameAuto searches.
const short = time.Minute

// Options of Run; the zero value makes two runs.
type Options struct {
	// Twice makes the emulated run a second time: what then differs from the first is no fault of dispatch.
	Twice    bool
	Blame    Blame
	Baseline string            // file with the emulated run, made if missing
	Step     func(what string) // told which run begins
}

// Result is what both runs did.
type Result struct {
	Dispatched, Emulated *session.Result
	Differences          []tree.Difference // A is the dispatched run, B the emulated one
	Exempt               []Exempted
	Twice                bool   // there were two emulated runs
	Baseline             *Made  // the emulated run comes from a file
	Kept                 string // the file in which the emulated run was kept
	Blame                *Finding
}

// Made says how a baseline came to be.
type Made struct {
	File string
	At   time.Time
}

// Exempted is a difference with the reason why it may be.
type Exempted struct {
	Difference tree.Difference
	Reason     string
}

// Same reports whether the two runs ended alike and left the same.
func (r *Result) Same() bool {
	return len(r.Differences) == 0 && r.Dispatched.Exit.Code == r.Emulated.Exit.Code
}

// Cut is a run that was ended before its time: nothing can be said.
type Cut struct {
	Run    string
	Result *session.Result
}

func (c *Cut) Error() string {
	if c.Result.TimedOut {
		return fmt.Sprintf("the %s took longer than --timeout allows", c.Run)
	}
	if c.Result.Interrupted != 0 {
		return fmt.Sprintf("the %s was interrupted", c.Run)
	}
	return fmt.Sprintf("the %s was killed", c.Run)
}

// verifier is the state of one Run.
type verifier struct {
	root     *session.Root
	o        Options
	run      session.Options
	policy   *policy.Policy
	list     []exempt.Exemption
	unstable map[place]bool
	result   *Result
}

// Run runs the command of run twice in root.
func Run(ctx context.Context, root *session.Root, run session.Options, o Options) (*Result, error) {
	run.Keep, run.Manifest, run.NullStdin = session.KeepNever, true, true
	v := &verifier{root: root, o: o, run: run, result: &Result{}}
	var err error
	if v.policy, err = session.Policy(run); err != nil {
		return nil, err
	}
	if v.list, err = exempt.Default(); err != nil {
		return nil, err
	}
	if static, other := session.Emulator(root.Arch); run.Qemu == "" && static == "" && other == "" && !root.Arch.RunsNativelyOn(arch.Host()) {
		return nil, &session.Error{Kind: session.KindEmulator, Path: root.Name, Err: fmt.Errorf("there is no emulator for %s on PATH, so there is nothing to compare with", root.Arch.Name)}
	}
	release, err := root.Hold(ctx, run)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := v.halves(ctx); err != nil {
		return nil, err
	}
	if err := v.judge(); err != nil {
		return nil, err
	}
	return v.result, v.search(ctx)
}

// halves makes the two runs, or three.
func (v *verifier) halves(ctx context.Context) error {
	base, err := v.openBaseline()
	if err != nil {
		return err
	}
	r := v.result
	if r.Dispatched, err = v.once(ctx, "dispatched run", v.run); err != nil {
		return err
	}
	emulate := v.run
	emulate.EmulateAll = true
	if base.Emulated == nil {
		if base.Emulated, err = v.once(ctx, "emulated run", emulate); err != nil {
			return err
		}
		base.changed = true
	} else {
		r.Baseline = &Made{v.o.Baseline, base.Made}
	}
	r.Emulated = base.Emulated
	if base.Again == nil && v.o.Twice {
		again, err := v.once(ctx, "second emulated run", emulate)
		if err != nil {
			return err
		}
		base.Again, base.changed = again.Manifest, true
	}
	if base.Again != nil {
		err = v.compareAgain(base.Again)
	}
	if err != nil {
		return err
	}
	if !base.wanted() {
		return nil
	}
	r.Kept = base.file
	return base.save()
}

// compareAgain notes what differs between two emulated runs.
func (v *verifier) compareAgain(manifest []byte) error {
	diffs, err := differences(v.result.Emulated.Manifest, manifest)
	if err != nil {
		return err
	}
	v.result.Twice, v.unstable = true, map[place]bool{}
	for _, d := range diffs {
		v.unstable[placeOf(d)] = true
	}
	return nil
}

// once makes one run, to its end.
func (v *verifier) once(ctx context.Context, what string, o session.Options) (*session.Result, error) {
	if v.o.Step != nil {
		v.o.Step(what)
	}
	r, err := session.Run(ctx, v.root, o)
	if err != nil {
		return nil, err
	}
	if r.TimedOut || r.Killed || r.Interrupted != 0 {
		return nil, &Cut{what, r}
	}
	return r, nil
}

// place is one aspect of one path; of neither it is the exit status.
type place struct {
	path   string
	aspect tree.Aspect
}

func placeOf(d tree.Difference) place { return place{d.Path, d.Aspect} }

// differences compares what two runs changed, by their manifests.
func differences(x, y []byte) ([]tree.Difference, error) {
	a, err := tree.Parse(bytes.NewReader(x))
	if err != nil {
		return nil, fmt.Errorf("read a run's manifest: %w", err)
	}
	b, err := tree.Parse(bytes.NewReader(y))
	if err != nil {
		return nil, fmt.Errorf("read a run's manifest: %w", err)
	}
	return tree.Compare(a, b, tree.CompareOptions{}), nil
}

// judge fills in the differences, those with a reason apart.
func (v *verifier) judge() error {
	r := v.result
	diffs, err := differences(r.Dispatched.Manifest, r.Emulated.Manifest)
	if err != nil {
		return err
	}
	r.Differences, r.Exempt = nil, nil
	for _, d := range diffs {
		switch reason := reasonFor(v.list, d); {
		case reason != "":
			r.Exempt = append(r.Exempt, Exempted{d, reason})
		case v.unstable[placeOf(d)]:
			r.Exempt = append(r.Exempt, Exempted{d, "two emulated runs differ here as well"})
		default:
			r.Differences = append(r.Differences, d)
		}
	}
	return nil
}

// reasonFor returns why a difference may be. Exemptions with a mask are no reason here: what they cut out is not in the
// manifests, so that a difference of content that is left is one.
func reasonFor(list []exempt.Exemption, d tree.Difference) string {
	for _, e := range list {
		if e.Mask != "" || e.Aspect != d.Aspect || (e.Who == "user" && os.Geteuid() == 0) {
			continue
		}
		if ok, err := path.Match(e.Path, d.Path); err == nil && ok {
			return e.Reason
		}
	}
	return ""
}
