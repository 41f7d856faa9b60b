package policy

import (
	"fmt"

	"github.com/crossroot/crossroot/internal/arch"
)

// Subject is one executable or script of a target root, with what is known about both sides.
type Subject struct {
	Path    string // absolute inside the root, symlinks resolved
	Script  bool   // a script, found as the first argument of an interpreter
	Applet  string // applet of a multi-call executable; "" asks about the executable itself
	Applets []string
	// Applets are those that the target's multi-call executable has; nil when nobody knows.

	Target, Host arch.Arch
	Fidelity     Fidelity // "" is Exact

	Tool     *Tool                       // nil: the tool root lacks it
	Versions func(Row) (Evidence, error) // nil: nothing is known; called only when a version matters
	// Lacks says, for each of Row.Needs, what the target asks for and the tool root has not, as a
	// word for the user ("libnss_ldap.so.2"); a need that is absent is met.
	Lacks                map[string]string
	LibcTarget, LibcHost string // "glibc", "musl", "uclibc"; "" unknown
}

// Tool is the program of the tool root that would run.
type Tool struct {
	Path     string   // as seen inside, "/.cr/bin/dash"
	Applets  []string // of a multi-call program
	Identity string   // the CPU's name it was patched to bear (arch.Arch.Name); "" if it was not
}

// Evidence are the versions found on both sides. An empty one is unknown.
type Evidence struct {
	Target, Tool string // as the package database or the executable spells them
	How          string // where they come from, for the user: "package coreutils", "strings"
}

// Decision is what runs in place of an executable or script, and why. It can be written as JSON.
type Decision struct {
	Outcome Outcome `json:"outcome"`
	Row     string  `json:"row,omitempty"`    // name of the row; "" if none names the program
	Applet  string  `json:"applet,omitempty"` // of a multi-call executable, if the decision is for one
	Reason  string  `json:"reason"`           // one sentence for the user
	Near    bool    `json:"near,omitempty"`
	// Near is set when only near fidelity made it native.

	Native string `json:"native,omitempty"`
	// Native is the tool's path when the outcome is native; "" then means the file itself: a script
	// (its interpreter has its own decision), or an executable that this machine runs as it is.
	Builtin string `json:"builtin,omitempty"`
	Exit    int    `json:"exit,omitempty"`
	Message string `json:"message,omitempty"`

	Interpreter bool `json:"interpreter,omitempty"`
	Multicall   bool `json:"multicall,omitempty"` // ask again for each applet; the outcome is for those unknown

	// Lacking is set when it would be native, or exactly so, with another tool root.
	Lacking bool `json:"lacking,omitempty"`

	ByArgs []ArgCase `json:"by_args,omitempty"` // see [Pick]
	Valued []string  `json:"valued,omitempty"`
}

// Decide makes the decision for one executable, applet or script. Without a row an executable is
// emulated and a script runs as it is.
func (p *Policy) Decide(s Subject) Decision {
	row, ok := p.Match(s.Path, s.Script, s.Applet)
	if !ok {
		return withoutRow(s)
	}
	e := &evaluation{subject: s, row: row}
	d := e.decide(row.Outcome, row.Builtin, row.Exit, row.Reason)
	d.Applet = s.Applet
	d.Interpreter = row.Interpreter
	d.Multicall = row.Multicall && s.Applet == ""
	if d.Multicall {
		return d
	}
	for _, c := range row.Cases {
		if c.OtherWord && s.Target.WordSize() == s.Host.WordSize() ||
			c.OtherOrder && s.Target.LittleEndian() == s.Host.LittleEndian() {
			continue
		}
		reason := c.Reason
		if reason == "" {
			reason = row.Reason
		}
		d.ByArgs = append(d.ByArgs, ArgCase{
			Called: c.Called, Verb: c.Verb, Args: c.Args, NoOperands: c.NoOperands,
			Then: e.decide(c.Outcome, c.Builtin, c.Exit, reason),
		})
	}
	if len(d.ByArgs) > 0 {
		d.Valued = row.Valued
	}
	return d
}

func withoutRow(s Subject) Decision {
	switch {
	case s.Script:
		return Decision{Outcome: Native, Reason: "no policy row: the script runs, its interpreter is decided on its own"}
	case s.Target.RunsNativelyOn(s.Host):
		return Decision{Outcome: Native, Reason: runsItself(s)}
	}
	return Decision{Outcome: Emulate, Reason: "no policy row"}
}

func runsItself(s Subject) string {
	return fmt.Sprintf("this machine (%s) runs %s itself", s.Host.Name, s.Target.Name)
}

// evaluation turns the outcomes of one row into decisions; the conditions are looked at once.
type evaluation struct {
	subject Subject
	row     Row
	verdict *verdict
}

func (e *evaluation) decide(outcome Outcome, builtin string, exit int, reason string) Decision {
	d := Decision{Outcome: outcome, Row: e.row.Name, Reason: fmt.Sprintf("%s: %s", e.row.Name, reason)}
	switch outcome {
	case Builtin:
		d.Builtin = builtin
	case Stub, Deny:
		d.Exit, d.Message = exit, e.row.Message
	case Native, Emulate:
		e.run(&d, reason)
	}
	return d
}

// run fills in d for the outcomes that execute something.
func (e *evaluation) run(d *Decision, reason string) {
	switch {
	case e.subject.Target.RunsNativelyOn(e.subject.Host) && !e.subject.Script:
		d.Outcome, d.Reason = Native, runsItself(e.subject)
	case d.Outcome == Emulate || e.subject.Script:
	default:
		if e.verdict == nil {
			v := judge(e.subject, e.row)
			e.verdict = &v
		}
		d.Near, d.Lacking = e.verdict.near, e.verdict.lacking
		if !e.verdict.native {
			d.Outcome, d.Reason = Emulate, fmt.Sprintf("%s: %s: emulated%s", e.row.Name, e.verdict.why, e.verdict.hint)
			return
		}
		d.Native = e.subject.Tool.Path
		d.Reason = fmt.Sprintf("%s: %s; %s", e.row.Name, e.verdict.why, reason)
	}
}
