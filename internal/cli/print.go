package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
)

// printer writes crossroot's own messages, which go to standard error: the rest belongs to the command.
type printer struct {
	w            *os.File
	json, quiet  bool
	verbose      bool
	terminal     bool
	colour       bool
	progressing  bool
	lastProgress time.Time
}

func newPrinter(e *env, json, quiet, verbose bool) *printer {
	p := &printer{w: e.stderr, json: json, quiet: quiet, verbose: verbose}
	p.terminal = term.IsTerminal(int(e.stderr.Fd()))
	p.colour = p.terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && !json
	return p
}

func (p *printer) paint(code, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *printer) object(v map[string]any) {
	line, err := json.Marshal(v)
	if err == nil {
		fmt.Fprintf(p.w, "%s\n", line)
	}
}

func (p *printer) warn(text string) {
	if p.quiet {
		return
	}
	p.endProgress()
	if p.json {
		p.object(map[string]any{"event": "warning", "message": text})
		return
	}
	fmt.Fprintf(p.w, "crossroot: %s %s\n", p.paint("33", "warning:"), clean(text))
}

func (p *printer) fail(kind, text string) {
	if p.json {
		p.object(map[string]any{"event": "error", "kind": kind, "message": text})
		return
	}
	fmt.Fprintf(p.w, "crossroot: %s\n", text)
}

// progress shows the making of a tool root: a line that changes on a terminal, nothing in a pipe.
func (p *printer) progress(done, total int, what string) {
	if done >= total { // what follows on the terminal is the command's
		p.endProgress()
		return
	}
	if p.quiet || !p.terminal || p.json || time.Since(p.lastProgress) < 50*time.Millisecond {
		return
	}
	p.lastProgress = time.Now()
	p.progressing = true
	text := fmt.Sprintf("crossroot: preparing native programs, once: %d/%d %s", done, total, clean(what))
	if width, _, err := term.GetSize(int(p.w.Fd())); err == nil && len(text) >= width && width > 1 {
		text = text[:width-1]
	}
	fmt.Fprintf(p.w, "\r%s\x1b[K", text)
}

// step tells which run begins.
func (p *printer) step(what string) {
	if p.json || p.quiet {
		return
	}
	p.endProgress()
	fmt.Fprintf(p.w, "crossroot: %s\n", p.paint("1", what))
}

func (p *printer) endProgress() {
	if p.progressing {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.progressing = false
	}
}

// summary is the human or JSON report at the end.
func (p *printer) summary(root string, r *session.Result) {
	if p.json {
		p.object(map[string]any{"event": "summary", "root": root, "exit": r.Exit.Code, "committed": r.Committed,
			"changes": len(r.Report.Changes), "executions": outcomes(r.Report.Programs), "seconds": r.Duration.Seconds(), "tools": r.Tools})
		return
	}
	if !p.verbose || p.quiet {
		return
	}
	p.endProgress()
	if r.Tools != "" {
		fmt.Fprintf(p.w, "%s from %s\n", p.paint("1", "tools"), clean(r.Tools))
	}
	p.programs(r.Report)
	p.changes(r)
	var phases []string
	for _, t := range r.Report.Times {
		phases = append(phases, fmt.Sprintf("%s %.1f", t.Phase, float64(t.Micro)/1000))
	}
	fmt.Fprintf(p.w, "%s %.2f s (milliseconds: %s)\n", p.paint("1", "time"), r.Duration.Seconds(), strings.Join(phases, ", "))
}

// outcomes counts executions by outcome.
func outcomes(programs []protocol.Program) map[policy.Outcome]int {
	sums := map[policy.Outcome]int{}
	for _, p := range programs {
		sums[p.Outcome] += p.Count
	}
	return sums
}

func (p *printer) programs(r *protocol.Report) {
	sums := outcomes(r.Programs)
	total := 0
	var parts []string
	for _, o := range []policy.Outcome{policy.Native, policy.Emulate, policy.Builtin, policy.Stub, policy.Deny, broker.Unrunnable} {
		if n := sums[o]; n > 0 {
			total += n
			parts = append(parts, fmt.Sprintf("%d %s", n, past[o]))
		}
	}
	if total == 0 {
		fmt.Fprintf(p.w, "%s none dispatched\n", p.paint("1", "executions"))
		return
	}
	fmt.Fprintf(p.w, "%s %d: %s\n", p.paint("1", "executions"), total, strings.Join(parts, ", "))
	p.outcome(r, policy.Emulate, 10, true)
	p.outcome(r, policy.Stub, 10, false)
	p.outcome(r, policy.Deny, 10, true)
	p.outcome(r, broker.Unrunnable, 10, true)
	near := 0
	for _, program := range r.Programs {
		if program.Near {
			near += program.Count
		}
	}
	if near > 0 {
		fmt.Fprintf(p.w, "  %d of the native ones only because of --fidelity near\n", near)
	}
	for _, n := range r.Nodes {
		fmt.Fprintf(p.w, "  device node refused: %s\n", clean(n))
	}
	if r.Truncated {
		fmt.Fprintln(p.w, "  the record was full: there were more")
	}
}

var past = map[policy.Outcome]string{
	policy.Native: "native", policy.Emulate: "emulated", policy.Builtin: "by crossroot itself", policy.Stub: "stubbed", policy.Deny: "denied",
	broker.Unrunnable: "not run for want of an emulator",
}

// outcome lists the programs of one outcome: those that cost most first, as far as that is known, then the most frequent.
func (p *printer) outcome(r *protocol.Report, o policy.Outcome, most int, reasons bool) {
	shown := 0
	programs := slices.Clone(r.Programs)
	slices.SortStableFunc(programs, func(a, b protocol.Program) int { return cmp.Compare(b.AboutSeconds, a.AboutSeconds) })
	for _, program := range programs {
		if program.Outcome != o {
			continue
		}
		if shown++; shown > most {
			fmt.Fprintf(p.w, "  … and more (see --report)\n")
			return
		}
		line := fmt.Sprintf("  %4d %s %s", program.Count, past[o], clean(broker.Label(program)))
		if program.AboutSeconds > 0 {
			line += fmt.Sprintf(", about %.1f s", program.AboutSeconds)
		}
		if reasons {
			line += ": " + clean(program.Reason)
		} else if len(program.Calls) > 0 {
			line += ": " + clean(strings.Join(program.Calls[:min(3, len(program.Calls))], "; "))
		}
		fmt.Fprintln(p.w, line)
	}
}

func (p *printer) changes(r *session.Result) {
	kinds := map[string]int{}
	for _, c := range r.Report.Changes {
		kinds[c.Kind]++
	}
	var parts []string
	for _, kind := range []string{"added", "changed", "deleted", "metadata"} {
		if n := kinds[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	state := "discarded"
	if r.Committed {
		state = "kept"
	}
	if len(parts) == 0 {
		fmt.Fprintf(p.w, "%s none\n", p.paint("1", "changes"))
		return
	}
	fmt.Fprintf(p.w, "%s %s, %s\n", p.paint("1", "changes"), strings.Join(parts, ", "), state)
	const most = 10
	for i, c := range r.Report.Changes {
		if i == most {
			fmt.Fprintf(p.w, "  … and %d more (see --report)\n", len(r.Report.Changes)-most)
			break
		}
		fmt.Fprintf(p.w, "  %-8s %s\n", c.Kind, clean(c.Path))
	}
}
