package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/tree"
)

// Finding is what the search for the programs that made differences found.
type Finding struct {
	Runs     int       // how many it took
	Culprits []Culprit // emulating all of them removes the differences
	Policy   string    // rows that do so
	Whole    string    // a policy with these rows and, below them, the user's own
	// Confirmed: a run with these rows showed none of the differences any more.
	Confirmed bool
	// Left are those that the run with these rows still showed: they come and go, or a program made them that ran only
	// then.
	Left []tree.Difference
}

// Culprit is a program, or programs that share state, which must be emulated to remove differences.
type Culprit struct {
	Programs []protocol.Program // as they ran in the dispatched run
	// Paths come back when it alone runs natively again. It is empty where another culprit hides that.
	Paths []tree.Difference
	Exit  bool // so does the difference of exit status
}

// search finds out which programs made the differences, by experiment: the command is run again with some of them
// emulated.
func (v *verifier) search(ctx context.Context) error {
	r := v.result
	if r.Same() || v.o.Blame == BlameNever || v.o.Blame == "" ||
		v.o.Blame == BlameAuto && r.Dispatched.Duration+r.Emulated.Duration > short {
		return nil
	}
	s := &searcher{v: v, tried: map[string]map[place]bool{}}
	if !r.Twice { // chance is no program's fault
		again, err := s.run(ctx, nil)
		if err != nil {
			return err
		}
		if err := v.compareAgain(again.Manifest); err != nil {
			return err
		}
		if err := v.judge(); err != nil || r.Same() {
			r.Blame = &Finding{Runs: s.runs, Confirmed: true}
			return err
		}
	}
	s.units = v.units()
	s.wanted = v.places()
	all := make([]int, len(s.units))
	for i := range all {
		all[i] = i
	}
	found, err := s.minimal(ctx, nil, all, true)
	if err != nil {
		return err
	}
	slices.Sort(found)
	r.Blame = &Finding{}
	if err := s.attribute(ctx, found); err != nil {
		return err
	}
	err = s.confirm(ctx)
	r.Blame.Runs = s.runs
	return err
}

// units are the programs that ran natively or were crossroot's own, those that share state together.
func (v *verifier) units() [][]protocol.Program {
	var units [][]protocol.Program
	family := map[string]int{}
	for _, p := range v.result.Dispatched.Report.Programs {
		if p.Outcome != policy.Native && p.Outcome != policy.Builtin {
			continue
		}
		row, _ := v.policy.Match(p.Path, false, p.Applet)
		if at, ok := family[row.Family]; ok && row.Family != "" {
			units[at] = append(units[at], p)
			continue
		}
		family[row.Family] = len(units)
		units = append(units, []protocol.Program{p})
	}
	return units
}

// places are where the two runs differ.
func (v *verifier) places() map[place]bool {
	places := map[place]bool{}
	for _, d := range v.result.Differences {
		places[placeOf(d)] = true
	}
	if v.result.Dispatched.Exit.Code != v.result.Emulated.Exit.Code {
		places[place{}] = true
	}
	return places
}

// searcher makes the experiments. A set of units is given by their numbers.
type searcher struct {
	v      *verifier
	units  [][]protocol.Program
	wanted map[place]bool // to be removed
	tried  map[string]map[place]bool
	runs   int
}

// minimal returns the smallest part of candidates that must be emulated, besides base, to remove all differences; to
// emulate all of them does. The way is that of QuickXplain (Junker, AAAI 2004): about 2·k·log2(n) runs for k of n. bad
// says that base alone is known not to suffice.
func (s *searcher) minimal(ctx context.Context, base, candidates []int, bad bool) ([]int, error) {
	if !bad {
		left, err := s.differ(ctx, base)
		if err != nil || len(left) == 0 {
			return nil, err
		}
	}
	if len(candidates) <= 1 {
		return candidates, nil
	}
	half := len(candidates) / 2
	first, second := candidates[:half], candidates[half:]
	b, err := s.minimal(ctx, slices.Concat(base, first), second, false)
	if err != nil {
		return nil, err
	}
	a, err := s.minimal(ctx, slices.Concat(base, b), first, len(b) == 0)
	return slices.Concat(a, b), err
}

// differ says which of the wanted places still differ when the units of a set are emulated.
func (s *searcher) differ(ctx context.Context, emulated []int) (map[place]bool, error) {
	set := slices.Compact(slices.Sorted(slices.Values(emulated)))
	key := fmt.Sprint(set)
	if known, ok := s.tried[key]; ok {
		return known, nil
	}
	var native []protocol.Executable
	for i, unit := range s.units {
		if slices.Contains(set, i) {
			continue
		}
		for _, p := range unit {
			native = append(native, protocol.Executable{Path: p.Path, Applet: p.Applet})
		}
	}
	r, err := s.run(ctx, native)
	if err != nil {
		return nil, err
	}
	s.tried[key], err = s.left(r)
	return s.tried[key], err
}

// run is one experiment: everything emulated but some.
func (s *searcher) run(ctx context.Context, native []protocol.Executable) (*session.Result, error) {
	o := s.v.run
	o.EmulateAll, o.Except = true, native
	return s.quiet(ctx, o)
}

// quiet makes a run whose output nobody needs.
func (s *searcher) quiet(ctx context.Context, o session.Options) (*session.Result, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	o.Stdio = [3]*os.File{null, null, null}
	s.runs++
	return s.v.once(ctx, fmt.Sprintf("experiment %d", s.runs), o)
}

// left are the wanted places where a run differs from the emulated one.
func (s *searcher) left(r *session.Result) (map[place]bool, error) {
	diffs, err := differences(r.Manifest, s.v.result.Emulated.Manifest)
	if err != nil {
		return nil, err
	}
	left := map[place]bool{}
	for _, d := range diffs {
		if s.wanted[placeOf(d)] {
			left[placeOf(d)] = true
		}
	}
	if s.wanted[place{}] && r.Exit.Code != s.v.result.Emulated.Exit.Code {
		left[place{}] = true
	}
	return left, nil
}

// attribute finds out for each unit found which differences come back without it.
func (s *searcher) attribute(ctx context.Context, found []int) error {
	for i, unit := range found {
		others := slices.Delete(slices.Clone(found), i, i+1)
		back := s.wanted
		if len(others) > 0 {
			var err error
			if back, err = s.differ(ctx, others); err != nil {
				return err
			}
		}
		c := Culprit{Programs: s.units[unit], Exit: back[place{}]}
		for _, d := range s.v.result.Differences {
			if back[placeOf(d)] {
				c.Paths = append(c.Paths, d)
			}
		}
		s.v.result.Blame.Culprits = append(s.v.result.Blame.Culprits, c)
	}
	return nil
}

// confirm writes the rows that emulate what was found, and tries them.
func (s *searcher) confirm(ctx context.Context) error {
	f := s.v.result.Blame
	var programs []policy.Program
	comments := map[policy.Program]string{}
	for _, c := range f.Culprits {
		for _, p := range c.Programs {
			program := policy.Program{Path: p.Path, Applet: p.Applet}
			programs = append(programs, program)
			comments[program] = "the policy said: " + p.Reason + differsIn(c)
		}
	}
	f.Policy = policy.Emulating(s.v.policy, programs, func(p policy.Program) string { return comments[p] })
	var err error
	if f.Whole, err = s.whole(); err != nil {
		return err
	}
	user, err := temporary(f.Whole)
	if err != nil {
		return err
	}
	defer os.Remove(user)
	o := s.v.run
	o.Policy = user
	r, err := s.quiet(ctx, o)
	if err != nil {
		return err
	}
	left, err := s.left(r)
	if err != nil {
		return err
	}
	f.Confirmed = len(left) == 0
	for _, d := range s.v.result.Differences {
		if left[placeOf(d)] {
			f.Left = append(f.Left, d)
		}
	}
	return nil
}

// differsIn names some paths, for a comment.
func differsIn(c Culprit) string {
	const most = 5
	paths := map[string]bool{}
	for _, d := range c.Paths {
		paths[d.Path] = true
	}
	var text string
	for i, p := range slices.Sorted(maps.Keys(paths)) {
		if i == most {
			text += fmt.Sprintf("\nand in %d more paths", len(paths)-most)
			break
		}
		text += fmt.Sprintf("\nits result differs in /%s", p)
	}
	if c.Exit {
		text += "\nthe command's exit status differs"
	}
	return text
}

// whole is a policy with the rows found, above those that the user gave.
func (s *searcher) whole() (string, error) {
	rows, name := s.v.result.Blame.Policy, s.v.run.Policy
	if name == "" {
		return rows, nil
	}
	old, err := os.ReadFile(name)
	if err != nil {
		shipped, ok := policy.ShippedText(name)
		if !ok {
			return "", err
		}
		old = shipped
	}
	return rows + "\n" + string(old), nil
}

// temporary makes a file with a text.
func temporary(text string) (string, error) {
	f, err := os.CreateTemp("", "crossroot-policy-*.toml")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}
