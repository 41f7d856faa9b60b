package cli

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/crossroot/crossroot/internal/keeper"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/wrap"
)

// wrapFlags are the options of wrap.
type wrapFlags struct {
	tools, policy, fidelity, net, report  string
	writable                              list
	timeout                               time.Duration
	protect, noSync, stubs, json, verbose bool
	quiet                                 bool
}

func (s *wrapFlags) add(f *flag.FlagSet) {
	f.StringVar(&s.tools, "tools", cmp.Or(os.Getenv("CROSSROOT_TOOLS"), session.ToolsAuto), "where native programs come from: `auto|host|twin|DIR`")
	f.StringVar(&s.policy, "policy", "", "rows on top of the built-in policy, TOML: `FILE`")
	f.StringVar(&s.fidelity, "fidelity", "exact", "near ignores versions where a row allows it: `exact|near`")
	f.StringVar(&s.net, "net", "host", "network: `host|none`")
	f.StringVar(&s.report, "report", "", "write a report as JSON: `FILE`")
	f.BoolVar(&s.protect, "protect", false, "everything is read-only but the working directory and --rw")
	f.Var(&s.writable, "rw", "with --protect: a path that stays writable; repeatable: `PATH`")
	f.BoolVar(&s.noSync, "no-sync", false, "don't wait for the disk meanwhile, but once at the end")
	f.BoolVar(&s.stubs, "stubs", false, "stub services and devices as run does")
	f.DurationVar(&s.timeout, "timeout", 0, "kill the command after a time such as 90s or 5m: `TIME`")
	f.BoolVar(&s.json, "json", false, "messages and summary as JSON lines on standard error")
	f.BoolVar(&s.verbose, "v", false, "print a summary at the end")
	f.BoolVar(&s.quiet, "q", false, "no warnings, no progress")
}

func (s *wrapFlags) options() (wrap.Options, error) {
	o := wrap.Options{Tools: s.tools, Policy: s.policy, NoSync: s.noSync, Protect: s.protect, Writable: s.writable, Stubs: s.stubs, Timeout: s.timeout}
	for _, c := range []struct{ name, value, allowed string }{{"fidelity", s.fidelity, "exact|near"}, {"net", s.net, "host|none"}} {
		if !slices.Contains(strings.Split(c.allowed, "|"), c.value) {
			return o, usageError{fmt.Sprintf("--%s %s: one of %s", c.name, c.value, strings.ReplaceAll(c.allowed, "|", ", "))}
		}
	}
	o.Fidelity, o.NoNet = policy.Fidelity(s.fidelity), s.net == "none"
	switch {
	case !isTools(s.tools):
		return o, usageError{fmt.Sprintf("--tools %s: auto, host, twin or a directory", s.tools)}
	case s.timeout < 0:
		return o, usageError{"--timeout: not negative"}
	case len(s.writable) > 0 && !s.protect:
		return o, usageError{"--rw: without --protect everything is writable"}
	}
	return o, nil
}

// isTools reports whether a value of --tools can be one.
func isTools(value string) bool {
	switch value {
	case session.ToolsAuto, session.ToolsHost, session.ToolsTwin:
		return true
	}
	info, err := os.Stat(value)
	return err == nil && info.IsDir()
}

func wrapVerb(ctx context.Context, e *env, args []string) (int, error) {
	var s wrapFlags
	f := flags(e, "wrap")
	s.add(f)
	command, err := parse(e, f, args)
	if err != nil {
		return 0, err
	}
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if len(command) == 0 {
		return 0, usageError{"no COMMAND to run"}
	}
	o, err := s.options()
	if err != nil {
		return 0, err
	}
	if o.Dirs, err = session.UserDirs(); err != nil {
		return 0, err
	}
	report, err := createReport(s.report)
	if err != nil {
		return 0, err
	}
	out := newPrinter(e, s.json, s.quiet, s.verbose)
	o.Command, o.Warn, o.Progress = command, out.warn, out.progress
	o.Stdio = [3]*os.File{e.stdin, e.stdout, e.stderr}
	result, err := wrap.Run(ctx, o)
	out.endProgress()
	if werr := report.writeWrap(command, result, err); err == nil {
		err = werr
	}
	if err != nil {
		return 0, err
	}
	out.wrapSummary(result)
	switch {
	case result.TimedOut:
		out.fail("timeout", fmt.Sprintf("%s ran longer than %s and was killed", command[0], o.Timeout))
		return ExitTimeout, nil
	case result.Exit.Exec != "":
		out.fail("exec", clean(result.Exit.Exec))
	}
	return result.Exit.Code, nil
}

// wrapReport is what --report writes.
type wrapReport struct {
	Command  []string       `json:"command"`
	Exit     *protocol.Exit `json:"exit,omitempty"`
	Error    *reportError   `json:"error,omitempty"` // crossroot itself failed; there is no Exit then
	TimedOut bool           `json:"timed_out,omitempty"`
	Seconds  float64        `json:"seconds"`
	Roots    []keeper.Root  `json:"roots"`
}

// writeWrap writes the report of a wrap, or of its failure, and closes the file.
func (r *reportFile) writeWrap(command []string, result *wrap.Result, failure error) error {
	if r == nil {
		return nil
	}
	report := wrapReport{Command: quoteAll(command), Roots: []keeper.Root{}}
	if failure != nil {
		report.Error = &reportError{kind(failure), message(failure)}
	}
	if result != nil {
		report.Exit, report.TimedOut, report.Seconds = &result.Exit, result.TimedOut, result.Duration.Seconds()
		for _, root := range result.Roots {
			root.Name, root.Tools = quoteBytes(root.Name), quoteBytes(root.Tools)
			root.Programs = quoted(protocol.Report{Programs: root.Programs}).Programs
			report.Roots = append(report.Roots, root)
		}
	}
	return r.encode(report)
}

// wrapSummary is the human or JSON report at the end.
func (p *printer) wrapSummary(r *wrap.Result) {
	together := &protocol.Report{}
	for _, root := range r.Roots {
		together.Programs = append(together.Programs, root.Programs...)
		together.Truncated = together.Truncated || root.Truncated
	}
	if p.json {
		p.object(map[string]any{"event": "summary", "exit": r.Exit.Code, "roots": len(r.Roots),
			"executions": outcomes(together.Programs), "seconds": r.Duration.Seconds()})
		return
	}
	if !p.verbose || p.quiet {
		return
	}
	for _, root := range r.Roots {
		if root.Arch != "" {
			fmt.Fprintf(p.w, "%s %s (%s): tools from %s\n", p.paint("1", "root"), clean(root.Name), root.Arch, clean(root.Tools))
		}
	}
	together.Programs = merge(together.Programs)
	p.programs(together)
	fmt.Fprintf(p.w, "%s %.2f s\n", p.paint("1", "time"), r.Duration.Seconds())
}

// merge adds up the programs of several roots, the most frequent first.
func merge(programs []protocol.Program) []protocol.Program {
	type key struct{ path, applet, outcome, reason string }
	at := map[key]int{}
	var all []protocol.Program
	for _, program := range programs {
		k := key{program.Path, program.Applet, string(program.Outcome), program.Reason}
		if i, known := at[k]; known {
			all[i].Count += program.Count
			all[i].AboutSeconds += program.AboutSeconds
			continue
		}
		at[k] = len(all)
		all = append(all, program)
	}
	slices.SortStableFunc(all, func(a, b protocol.Program) int { return b.Count - a.Count })
	return all
}
