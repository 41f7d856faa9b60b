// Package verify proves a run: it runs a command twice from the same start, dispatched and fully emulated, keeps
// neither result, and compares what the two changed. It promises that ROOT is left alone, and that a difference is
// shown unless the list of exemptions gives its reason. It knows nothing of how the runs are made.
package verify

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"

	"github.com/crossroot/crossroot/internal/exempt"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/tree"
)

// Result is what both runs did.
type Result struct {
	Dispatched, Emulated *session.Result
	Differences          []tree.Difference // A is the dispatched run, B the emulated one
	Exempt               []Exempted
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

// Run runs the command of o twice in ROOT; step is told which run begins. With twice the emulated run is made a second
// time: what then differs from the first is no fault of dispatch.
func Run(ctx context.Context, root *session.Root, o session.Options, twice bool, step func(what string)) (*Result, error) {
	o.Keep, o.Manifest = session.KeepNever, true
	o.NullStdin = true
	step("dispatched")
	dispatched, err := session.Run(ctx, root, o)
	if err != nil {
		return nil, err
	}
	o.EmulateAll = true
	step("emulated")
	emulated, err := session.Run(ctx, root, o)
	if err != nil {
		return nil, err
	}
	var unstable map[place]bool
	if twice {
		step("emulated, again")
		again, err := session.Run(ctx, root, o)
		if err != nil {
			return nil, err
		}
		diffs, err := differences(emulated, again)
		if err != nil {
			return nil, err
		}
		unstable = map[place]bool{}
		for _, d := range diffs {
			unstable[place{d.Path, d.Aspect}] = true
		}
	}
	r := &Result{Dispatched: dispatched, Emulated: emulated}
	return r, r.judge(unstable)
}

// place is one aspect of one path.
type place struct {
	path   string
	aspect tree.Aspect
}

// differences compares what two runs changed.
func differences(x, y *session.Result) ([]tree.Difference, error) {
	a, err := tree.Parse(bytes.NewReader(x.Manifest))
	if err != nil {
		return nil, fmt.Errorf("read a run's manifest: %w", err)
	}
	b, err := tree.Parse(bytes.NewReader(y.Manifest))
	if err != nil {
		return nil, fmt.Errorf("read a run's manifest: %w", err)
	}
	return tree.Compare(a, b, tree.CompareOptions{}), nil
}

// judge fills in the differences, those with a reason apart.
func (r *Result) judge(unstable map[place]bool) error {
	diffs, err := differences(r.Dispatched, r.Emulated)
	if err != nil {
		return err
	}
	list, err := exempt.Default()
	if err != nil {
		return err
	}
	for _, d := range diffs {
		switch reason := reasonFor(list, d); {
		case reason != "":
			r.Exempt = append(r.Exempt, Exempted{d, reason})
		case unstable[place{d.Path, d.Aspect}]:
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
