package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/crossroot/crossroot/internal/demo"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/session"
)

func demoVerb(ctx context.Context, e *env, args []string) (int, error) {
	f := flags(e, "demo")
	keep := f.String("keep-dir", "", "make the root in `DIR` (missing or empty) and leave it there")
	rest, err := parse(e, f, args)
	if err != nil {
		return 0, err
	}
	if len(rest) > 0 {
		return 0, usageError{"takes no arguments"}
	}
	dirs, err := session.UserDirs()
	if err != nil {
		return 0, err
	}
	messages := newPrinter(e, false, false, false)
	d, err := demo.Open(demo.Options{Keep: *keep, Dirs: dirs, Warn: messages.warn, Progress: messages.progress})
	if err != nil {
		return 0, err
	}
	stage := newPlaybill(e.stdout)
	passed, err := stage.play(ctx, d, messages)
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return 0, err
	}
	if !passed {
		return ExitProblem, nil
	}
	if *keep != "" {
		stage.next(*keep)
	}
	return ExitOK, nil
}

// playbill prints the demonstration.
type playbill struct {
	w      io.Writer
	colour bool
}

func newPlaybill(out *os.File) *playbill {
	return &playbill{out, term.IsTerminal(int(out.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (b *playbill) paint(code, text string) string {
	if !b.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (b *playbill) play(ctx context.Context, d *demo.Demo, messages *printer) (bool, error) {
	began := time.Now()
	acts := d.Acts()
	passed, claims := true, 0
	var host []string
	for i, a := range acts {
		o, err := d.Play(ctx, a)
		messages.endProgress()
		if err != nil {
			return false, err
		}
		if i == 0 { // not before crossroot has shown that it can run anything here
			fmt.Fprintf(b.w, "A root file system for %s, made just now of stand-ins for its executables, and scripts of the kind\n"+
				"that packages bring. On this machine, with nothing but a PATH in between, each would do damage.\n", b.paint("1", d.Arch.Name))
		}
		fmt.Fprintf(b.w, "\n%s\n", b.paint("1", fmt.Sprintf("%d. %s", i+1, a.Title)))
		b.act(o)
		passed = passed && o.Passed()
		claims += len(o.Checks) + len(o.Host)
		host = host[:0]
		for _, c := range o.Host {
			host = append(host, c.Claim)
		}
	}
	fmt.Fprintf(b.w, "\nLooked at on this machine before and after each script: %s.\n", strings.Join(host, "; "))
	verdict := b.paint("1;32", "This machine is unchanged.")
	if !passed {
		verdict = b.paint("1;31", "Not everything was as claimed: see ✗ above.")
	}
	fmt.Fprintf(b.w, "%s %d scripts, %d checks, %.1f s.\n", verdict, len(acts), claims, time.Since(began).Seconds())
	return passed, nil
}

// act prints one script with its output, the report and the checks.
func (b *playbill) act(o *demo.Outcome) {
	fmt.Fprintf(b.w, "   would do: %s\n", b.paint("31", o.Act.Harm))
	for line := range strings.Lines(o.Act.Script) {
		fmt.Fprintf(b.w, "     %s\n", b.paint("36", strings.TrimSuffix(line, "\n")))
	}
	for line := range strings.Lines(strings.TrimSpace(o.Output)) {
		fmt.Fprintf(b.w, "   %s\n", b.paint("2", "| "+clean(line)))
	}
	fmt.Fprintf(b.w, "   report: %s\n", runLine(o))
	for _, call := range stubbed(o) {
		fmt.Fprintf(b.w, "           stubbed: %s\n", clean(call))
	}
	for _, c := range o.Checks {
		b.check("root: ", c)
	}
	unchanged := true
	for _, c := range o.Host {
		if c.Err != nil {
			unchanged = false
			b.check("host: ", c)
		}
	}
	if unchanged {
		b.check("host: ", demo.Check{Claim: "unchanged"})
	}
}

func (b *playbill) check(side string, c demo.Check) {
	if c.Err != nil {
		fmt.Fprintf(b.w, " %s %s%s: %s\n", b.paint("1;31", "✗"), side, c.Claim, clean(c.Err.Error()))
		return
	}
	fmt.Fprintf(b.w, " %s %s%s\n", b.paint("32", "✓"), side, c.Claim)
}

// runLine is the run's own report in a line.
func runLine(o *demo.Outcome) string {
	r := o.Result
	sums := outcomes(r.Report.Programs)
	var parts []string
	for _, outcome := range []policy.Outcome{policy.Native, policy.Emulate, policy.Builtin, policy.Stub, policy.Deny} {
		if n := sums[outcome]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, past[outcome]))
		}
	}
	changed := "nothing changed"
	if n := len(r.Report.Changes); n > 0 {
		changed = fmt.Sprintf("%d paths changed, %s", n, map[bool]string{true: "kept", false: "discarded"}[r.Committed])
	}
	return fmt.Sprintf("exit %d; executions: %s; %s; %d ms", r.Exit.Code, strings.Join(parts, ", "), changed, r.Duration.Milliseconds())
}

// stubbed lists the calls that were answered by doing nothing.
func stubbed(o *demo.Outcome) []string {
	var calls []string
	for _, p := range o.Result.Report.Programs {
		if p.Outcome == policy.Stub {
			calls = append(calls, p.Calls...)
		}
	}
	return calls
}

// next says what to try with the root that was kept.
func (b *playbill) next(dir string) {
	name := os.Args[0]
	switch path, err := exec.LookPath("crossroot"); {
	case strings.Contains(name, "/go-build"):
		name = "go run ./cmd/crossroot"
	case err == nil && path != "":
		name = "crossroot"
	}
	dir = shellQuote(dir)
	fmt.Fprintf(b.w, "\nThe root stays in %s. Next:\n", dir)
	for _, line := range []string{
		"run -v --fidelity near " + dir + " -- sh -c 'id; uname -m; systemctl restart ssh'",
		"shell --fidelity near " + dir,
		"explain --fidelity near " + dir + " /usr/bin/sed",
		"doctor " + dir,
	} {
		fmt.Fprintf(b.w, "  %s %s\n", name, line)
	}
}

// shellQuote makes a word for a shell to read.
func shellQuote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:,@%"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
