package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/session"
)

func explainVerb(ctx context.Context, e *env, args []string) (int, error) {
	var o session.Options
	var fidelity string
	var asJSON bool
	f := flags(e, "explain")
	addTools(f, &o.Tools, &o.Offline)
	f.StringVar(&o.Policy, "policy", "", "rows on top of the built-in policy, TOML: `FILE`")
	f.StringVar(&fidelity, "fidelity", "exact", "near ignores versions where a row allows it: `exact|near`")
	f.StringVar(&o.Qemu, "qemu", "", "static emulator to use, else qemu-ARCH-static on PATH: `FILE`")
	f.BoolVar(&asJSON, "json", false, "print the explanation as JSON")
	rest, err := parse(e, f, args)
	if err != nil {
		return 0, err
	}
	if len(rest) < 2 || len(rest) > 3 {
		return 0, usageError{"give ROOT and the PATH of an executable or script in it"}
	}
	if fidelity != "exact" && fidelity != "near" {
		return 0, usageError{fmt.Sprintf("--fidelity %s: one of exact, near", fidelity)}
	}
	o.Fidelity = policy.Fidelity(fidelity)
	root, err := session.OpenRoot(rest[0])
	if err != nil {
		return 0, err
	}
	defer root.Close()
	if o.Dirs, err = session.UserDirs(); err != nil {
		return 0, err
	}
	out := newPrinter(e, asJSON, false, false)
	o.Warn, o.Progress = out.warn, out.progress
	b, done, err := session.Advise(ctx, root, o)
	out.endProgress()
	if err != nil {
		return 0, err
	}
	defer done()
	applet := ""
	if len(rest) == 3 {
		applet = rest[2]
	}
	x, err := b.Explain(rest[1], applet)
	if err != nil {
		return 0, err
	}
	if asJSON {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", "  ")
		return ExitOK, encoder.Encode(x)
	}
	p := newPrinter(&env{e.stdin, e.stdout, e.stdout}, false, false, false)
	p.explain(e.stdout, x, "")
	return ExitOK, nil
}

// explain prints an explanation; a script's interpreter follows, indented.
func (p *printer) explain(w io.Writer, x *broker.Explanation, indent string) {
	field := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s  %-11s %s\n", indent, name, clean(fmt.Sprintf(format, args...)))
	}
	title := x.Path
	if x.Resolved != x.Path {
		title += " → " + x.Resolved
	}
	if x.Applet != "" {
		title += " (applet " + x.Applet + ")"
	}
	fmt.Fprintf(w, "%s%s\n", indent, p.paint("1", clean(title)))
	if x.Script {
		field("is", "a script for %s %s", x.Interpreter, x.Argument)
	} else {
		field("is", "an executable for %s, %d bytes", x.Arch, x.Size)
	}
	d := x.Decision
	switch {
	case d.Outcome == policy.Native && x.Script:
		field("outcome", "runs as it is, under its interpreter")
	case d.Outcome == policy.Native && d.Native == "":
		field("outcome", "native: the file itself")
	case d.Outcome == policy.Native:
		field("outcome", "native: %s", d.Native)
	case d.Outcome == policy.Emulate && !x.Emulator:
		field("outcome", "can't run: it would be emulated, and there is no emulator for %s (install qemu-user-static)", x.Arch)
	case d.Outcome == policy.Builtin:
		field("outcome", "builtin %s", d.Builtin)
	case d.Outcome == policy.Stub:
		field("outcome", "stub: nothing happens, exit status %d", d.Exit)
	default:
		field("outcome", "%s", d.Outcome)
	}
	for _, c := range d.ByArgs {
		field("", "%s", "with "+conditions(c)+": "+string(c.Then.Outcome))
	}
	field("because", "%s", d.Reason)
	if x.Tool != nil && d.Native == x.Tool.Path {
		from := x.Tool.Source
		if x.Tool.Package != "" {
			from += fmt.Sprintf(" (%s %s)", x.Tool.Package, x.Tool.PackageVersion)
		}
		field("tool", "%s, made from %s", x.Tool.Path, from)
	}
	if x.Via != nil {
		p.explain(w, x.Via, indent+"  ")
	}
}

// conditions writes what a case looks at.
func conditions(c policy.ArgCase) string {
	text := ""
	add := func(name string, words []string) {
		if len(words) == 0 {
			return
		}
		if text != "" {
			text += " and "
		}
		text += name
		for i, w := range words {
			if i > 0 {
				text += ","
			}
			text += " " + w
		}
	}
	add("called", c.Called)
	add("verb", c.Verb)
	add("arguments", c.Args)
	if c.NoOperands {
		if text != "" {
			text += " and "
		}
		text += "no operands"
	}
	return text
}
