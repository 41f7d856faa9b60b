package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/verify"
)

func verifyVerb(ctx context.Context, e *env, args []string) (int, error) {
	var s sandboxFlags
	f := flags(e, "verify")
	s.add(f, "never", "never")
	twice := f.Bool("twice", false, "make the emulated run twice: what differs between the two is no difference")
	blame := f.String("blame", "auto", "search for the programs that made a difference; auto: if the runs were short: `auto|always|never`")
	fix := f.String("fix", "", "write rows that emulate these programs, a policy, if there are any: `FILE`")
	baseline := f.String("baseline", "", "keep the emulated run in a file, and use it again: `FILE`")
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
	vo := verify.Options{Twice: *twice, Blame: verify.Blame(*blame), Baseline: *baseline}
	if vo.Blame != verify.BlameAuto && vo.Blame != verify.BlameAlways && vo.Blame != verify.BlameNever {
		return 0, usageError{fmt.Sprintf("--blame %s: one of auto, always, never", *blame)}
	}
	if *fix != "" && vo.Blame == verify.BlameAuto {
		vo.Blame = verify.BlameAlways
	}
	if *fix != "" && vo.Blame == verify.BlameNever {
		return 0, usageError{"--fix: needs the search that --blame never leaves out"}
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
	vo.Step = func(what string) { out.step(what) }
	r, err := verify.Run(ctx, root, o, vo)
	out.endProgress()
	var cut *verify.Cut
	if errors.As(err, &cut) {
		return cutShort(out, cut), nil
	}
	if err == nil && *fix != "" && r.Blame != nil && r.Blame.Policy != "" {
		err = os.WriteFile(*fix, []byte(r.Blame.Whole), 0o666)
	}
	if err != nil {
		return 0, err
	}
	if s.json {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetEscapeHTML(false)
		return verdict(r), encoder.Encode(verifyReport(r))
	}
	printVerify(e.stdout, out, r)
	return verdict(r), nil
}

// cutShort says why there is no comparison.
func cutShort(p *printer, cut *verify.Cut) int {
	if cut.Result.TimedOut {
		p.fail("timeout", cut.Error()+": nothing was compared")
		return ExitTimeout
	}
	if n := cut.Result.Interrupted; n != 0 {
		p.fail("interrupted", cut.Error()+": nothing was compared")
		return 128 + n
	}
	p.fail("killed", cut.Error()+": nothing was compared")
	return cut.Result.Exit.Code
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
