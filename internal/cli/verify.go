package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/verify"
)

func verifyVerb(ctx context.Context, e *env, args []string) (int, error) {
	var s sandboxFlags
	f := flags(e, "verify")
	s.add(f, "never", "never")
	twice := f.Bool("twice", false, "make the emulated run twice: what differs between the two is no difference")
	f.Lookup("json").Usage = "print the comparison as JSON"
	f.Lookup("v").Usage = "also list the differences that have a known reason"
	rest, err := parse(e, f, args)
	if err != nil {
		return 0, err
	}
	if len(rest) == 0 {
		return 0, usageError{"no ROOT given"}
	}
	name, command := rest[0], rest[1:]
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if len(command) == 0 {
		return 0, usageError{fmt.Sprintf("no COMMAND to run in %s", name)}
	}
	o, err := s.options()
	if err != nil {
		return 0, err
	}
	if o.Keep != session.KeepNever {
		return 0, usageError{"--keep: verify keeps nothing"}
	}
	if s.report != "" {
		return 0, usageError{"--report: verify reports with --json"}
	}
	o.Command = command
	root, err := session.OpenRoot(name)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	if o.Dirs, err = session.UserDirs(); err != nil {
		return 0, err
	}
	out := newPrinter(e, s.json, s.quiet, s.verbose)
	o.Warn, o.Progress = out.warn, out.progress
	o.Stdio = [3]*os.File{e.stdin, e.stderr, e.stderr}
	r, err := verify.Run(ctx, root, o, *twice, func(what string) {
		if !s.json && !s.quiet {
			fmt.Fprintf(e.stderr, "crossroot: %s\n", out.paint("1", what+" run"))
		}
	})
	out.endProgress()
	if err != nil {
		return 0, err
	}
	if s.json {
		return verdict(r), json.NewEncoder(e.stdout).Encode(verifyReport(r))
	}
	printVerify(e, out, r)
	return verdict(r), nil
}

// verdict is the exit code: 0 when the two runs are the same; a command that couldn't be executed proves nothing.
func verdict(r *verify.Result) int {
	switch {
	case r.Dispatched.Exit.Exec != "":
		return r.Dispatched.Exit.Code
	case r.Same():
		return ExitOK
	}
	return ExitProblem
}

func printVerify(e *env, p *printer, r *verify.Result) {
	w := e.stdout
	for _, x := range r.Exempt {
		if !p.verbose {
			break
		}
		fmt.Fprintf(w, "exempt     %s: %s\n", clean(x.Difference.String()), clean(x.Reason))
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
	if len(r.Differences) > 0 {
		suspects(e, r)
	}
	sums := outcomes(r.Dispatched.Report.Programs)
	fmt.Fprintf(w, "%d paths changed, %d differences, %d more with a known reason; %d of %d executions native; %.1f s dispatched, %.1f s emulated\n",
		len(r.Dispatched.Report.Changes), len(r.Differences), len(r.Exempt), sums[policy.Native], total(sums),
		r.Dispatched.Duration.Seconds(), r.Emulated.Duration.Seconds())
}

// suspects names the rows that let programs run natively, the rarer first: one of them made the difference.
func suspects(e *env, r *verify.Result) {
	fmt.Fprintln(e.stdout, "One of these rows let a program run natively whose result differs. To emulate it, put a row with the same")
	fmt.Fprintln(e.stdout, "programs and outcome = \"emulate\" in a file and give it with --policy (crossroot-policy(5)):")
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
	for i := len(order) - 1; i >= 0; i-- {
		fmt.Fprintf(e.stdout, "  %5d %s\n", counts[order[i]], clean(order[i]))
	}
}

func total(sums map[policy.Outcome]int) int {
	n := 0
	for _, s := range sums {
		n += s
	}
	return n
}

// verifyReport is the JSON form.
func verifyReport(r *verify.Result) any {
	type difference struct {
		Path       string `json:"path"`
		Aspect     string `json:"aspect"`
		Dispatched string `json:"dispatched"`
		Emulated   string `json:"emulated"`
		Exempt     string `json:"exempt,omitempty"`
	}
	var all []difference
	for _, d := range r.Differences {
		all = append(all, difference{quoteBytes(d.Path), string(d.Aspect), d.A, d.B, ""})
	}
	for _, x := range r.Exempt {
		all = append(all, difference{quoteBytes(x.Difference.Path), string(x.Difference.Aspect), x.Difference.A, x.Difference.B, x.Reason})
	}
	side := func(s *session.Result) map[string]any {
		return map[string]any{"exit": s.Exit.Code, "seconds": s.Duration.Seconds(), "report": quoted(*s.Report)}
	}
	return map[string]any{"same": r.Same(), "differences": all, "dispatched": side(r.Dispatched), "emulated": side(r.Emulated)}
}
