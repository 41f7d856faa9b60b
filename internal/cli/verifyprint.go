package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/tree"
	"github.com/crossroot/crossroot/internal/verify"
)

// printVerify is the comparison for people.
func printVerify(w io.Writer, p *printer, r *verify.Result) {
	if p.verbose {
		fmt.Fprintln(w, "shared     the start state of ROOT, the stubs, the environment, the machine, its kernel; not the time, chance and process ids")
		for _, x := range r.Exempt {
			fmt.Fprintf(w, "exempt     %s: %s\n", clean(x.Difference.String()), clean(x.Reason))
		}
	}
	for _, d := range r.Differences {
		fmt.Fprintf(w, "%s %s\n", p.paint("31", "different "), clean(d.String()))
	}
	switch a, b := r.Dispatched.Exit, r.Emulated.Exit; {
	case a.Code != b.Code:
		fmt.Fprintf(w, "%s exit status: %d dispatched, %d emulated\n", p.paint("31", "different "), a.Code, b.Code)
	case a.Exec != "":
		fmt.Fprintf(w, "both runs: %s\n", clean(a.Exec))
	case a.Code != 0:
		fmt.Fprintf(w, "both runs ended with status %d\n", a.Code)
	}
	switch {
	case r.Blame != nil:
		printBlame(w, r.Blame)
	case !r.Same():
		suspects(w, r)
	}
	if r.Dispatched.Report.Truncated || r.Emulated.Report.Truncated {
		fmt.Fprintln(w, "the record of executions was full: there were more")
	}
	if r.Baseline != nil {
		fmt.Fprintf(w, "the emulated run is that of %s in %s\n", r.Baseline.At.Format("2006-01-02 15:04 MST"), clean(r.Baseline.File))
	}
	if r.Kept != "" {
		fmt.Fprintf(w, "the emulated run is kept in %s\n", clean(r.Kept))
	}
	differences := len(r.Differences)
	if r.Dispatched.Exit.Code != r.Emulated.Exit.Code {
		differences++
	}
	sums := outcomes(r.Dispatched.Report.Programs)
	fmt.Fprintf(w, "%d paths changed, %d differences, %d more with a known reason; %d of %d executions native; %.1f s dispatched, %.1f s emulated\n",
		len(r.Dispatched.Report.Changes), differences, len(r.Exempt), sums[policy.Native], total(sums),
		r.Dispatched.Duration.Seconds(), r.Emulated.Duration.Seconds())
}

// printBlame names the programs found, what they change, and the way out.
func printBlame(w io.Writer, f *verify.Finding) {
	for _, c := range f.Culprits {
		for _, program := range c.Programs {
			fmt.Fprintf(w, "because of %s, %d times %s: %s\n", clean(broker.Label(program)), program.Count, past[program.Outcome], clean(program.Reason))
		}
		for i, d := range c.Paths {
			if i == 10 {
				fmt.Fprintf(w, "           … and %d more differences (see --json)\n", len(c.Paths)-i)
				break
			}
			fmt.Fprintf(w, "           %s %q\n", d.Aspect, d.Path)
		}
		if c.Exit {
			fmt.Fprintln(w, "           exit status")
		}
		if len(c.Paths) == 0 && !c.Exit {
			fmt.Fprintln(w, "           together with the others: one of them alone hides it")
		}
	}
	switch {
	case len(f.Culprits) == 0:
		fmt.Fprintf(w, "%d further runs: what differed differs between two emulated runs, too (--twice)\n", f.Runs)
		return
	case f.Confirmed:
		fmt.Fprintf(w, "With these rows, given by --policy, the differences are gone (%d further runs; --fix FILE writes them):\n\n", f.Runs)
	default:
		fmt.Fprintf(w, "With these rows, given by --policy, %d differences are left: they come and go, or have a further cause; verify again with the rows (%d further runs; --fix FILE writes them):\n\n", len(f.Left), f.Runs)
	}
	for line := range strings.Lines(f.Policy) {
		fmt.Fprintf(w, "    %s", line)
	}
	fmt.Fprintln(w)
}

// suspects names the rows that let programs run natively, the rarer first: one of them made the difference.
func suspects(w io.Writer, r *verify.Result) {
	counts := map[string]int{}
	var order []string
	for _, program := range r.Dispatched.Report.Programs {
		if program.Outcome != policy.Native && program.Outcome != policy.Builtin {
			continue
		}
		if counts[program.Row] == 0 {
			order = append(order, program.Row)
		}
		counts[program.Row] += program.Count
	}
	fmt.Fprintln(w, "One of these rows let a program run natively whose result differs, or it is chance (--twice tells).")
	fmt.Fprintln(w, "--blame always finds out which, by some ten further runs:")
	for i := len(order) - 1; i >= 0; i-- {
		fmt.Fprintf(w, "  %5d %s\n", counts[order[i]], clean(order[i]))
	}
}

func total(sums map[policy.Outcome]int) int {
	n := 0
	for _, s := range sums {
		n += s
	}
	return n
}

// jsonDifference is one difference in JSON.
type jsonDifference struct {
	Path       string `json:"path"`
	Aspect     string `json:"aspect"`
	Dispatched string `json:"dispatched"`
	Emulated   string `json:"emulated"`
	Exempt     string `json:"exempt,omitempty"`
}

func jsonDifferenceOf(d tree.Difference, exempt string) jsonDifference {
	return jsonDifference{quoteBytes(d.Path), string(d.Aspect), quoteBytes(d.A), quoteBytes(d.B), exempt}
}

// verifyReport is the JSON form.
func verifyReport(r *verify.Result) any {
	all := []jsonDifference{}
	for _, d := range r.Differences {
		all = append(all, jsonDifferenceOf(d, ""))
	}
	for _, x := range r.Exempt {
		all = append(all, jsonDifferenceOf(x.Difference, x.Reason))
	}
	side := func(s *session.Result) map[string]any {
		return map[string]any{"exit": s.Exit.Code, "seconds": s.Duration.Seconds(), "arch": s.Arch, "tools": quoteBytes(s.Tools), "report": quoted(*s.Report)}
	}
	out := map[string]any{"same": r.Same(), "differences": all, "twice": r.Twice, "dispatched": side(r.Dispatched), "emulated": side(r.Emulated)}
	if r.Baseline != nil {
		out["baseline"] = map[string]any{"file": quoteBytes(r.Baseline.File), "made": r.Baseline.At}
	}
	if r.Blame != nil {
		out["blame"] = blameReport(r.Blame)
	}
	return out
}

func blameReport(f *verify.Finding) any {
	type culprit struct {
		Programs []protocol.Program `json:"programs"`
		Paths    []jsonDifference   `json:"differences"`
		Exit     bool               `json:"exit,omitempty"`
	}
	culprits := []culprit{}
	for _, c := range f.Culprits {
		x := culprit{Programs: quoted(protocol.Report{Programs: c.Programs}).Programs, Paths: []jsonDifference{}, Exit: c.Exit}
		for _, d := range c.Paths {
			x.Paths = append(x.Paths, jsonDifferenceOf(d, ""))
		}
		culprits = append(culprits, x)
	}
	left := []jsonDifference{}
	for _, d := range f.Left {
		left = append(left, jsonDifferenceOf(d, ""))
	}
	return map[string]any{"runs": f.Runs, "because": culprits, "policy": f.Policy, "confirmed": f.Confirmed, "left": left}
}
