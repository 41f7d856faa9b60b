package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// ischroot is the builtin that full emulation leaves as it is.
const ischroot = "ischroot"

// Program names one executable of a root, or one applet of it.
type Program struct {
	Path, Applet string // absolute inside the root, symlinks resolved; applet or ""
}

// Emulating writes a policy that, laid over p, has the programs emulated where p lets them run natively, and leaves what
// p suppresses by arguments as it is. The comment stands above each row. Programs that no row of p names are left out.
func Emulating(p *Policy, programs []Program, comment func(Program) string) string {
	var b strings.Builder
	for _, program := range programs {
		row, ok := p.Match(program.Path, false, program.Applet)
		if !ok || row.Builtin == ischroot {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		for line := range strings.SplitSeq(comment(program), "\n") {
			b.WriteString(strings.TrimRight("# "+plain(line), " ") + "\n")
		}
		row.emulating(program).write(&b)
	}
	return b.String()
}

// emulating is the row for one of its programs, with native and builtin outcomes made emulations.
func (r Row) emulating(program Program) Row {
	e := Row{
		Name: r.Name + ", emulated", Programs: []string{literal(Canonical(program.Path))}, Outcome: emulation(r.Outcome),
		Interpreter: r.Interpreter, Valued: r.Valued, Exit: r.Exit, Message: r.Message,
		Reason: "what it does natively differs from what it does emulated",
	}
	if program.Applet != "" {
		e.Applets = []string{literal(program.Applet)}
	}
	for _, c := range r.Cases {
		c.Outcome, c.Builtin = emulation(c.Outcome), ""
		if c.Reason == "" {
			c.Reason = r.Reason
		}
		e.Cases = append(e.Cases, c)
	}
	return e
}

func emulation(o Outcome) Outcome {
	if o == Native || o == Builtin {
		return Emulate
	}
	return o
}

// literal is a pattern for a path with the characters of patterns in its last component.
func literal(name string) string {
	dir, base := path.Split(name)
	base = strings.NewReplacer("*", "?", "|", "?").Replace(base)
	if strings.Contains(base, "]") {
		base = strings.ReplaceAll(base, "[", "?")
	}
	return dir + base
}

// write writes those keys that are set.
func (r Row) write(b *strings.Builder) {
	b.WriteString("[[row]]\n")
	put := func(key string, value any) {
		switch v := value.(type) {
		case string:
			if v != "" {
				fmt.Fprintf(b, "%s = %s\n", key, tomlString(v))
			}
		case []string:
			if len(v) > 0 {
				fmt.Fprintf(b, "%s = [%s]\n", key, strings.Join(tomlStrings(v), ", "))
			}
		case bool:
			if v {
				fmt.Fprintf(b, "%s = true\n", key)
			}
		case int:
			if v != 0 {
				fmt.Fprintf(b, "%s = %d\n", key, v)
			}
		}
	}
	put("name", r.Name)
	put("programs", r.Programs)
	put("applets", r.Applets)
	put("outcome", string(r.Outcome))
	put("interpreter", r.Interpreter)
	put("exit", r.exitKey())
	put("message", r.Message)
	put("valued", r.Valued)
	put("reason", r.Reason)
	for _, c := range r.Cases {
		b.WriteString("[[row.case]]\n")
		put("called", c.Called)
		put("verb", c.Verb)
		put("args", c.Args)
		put("no-operands", c.NoOperands)
		put("other-word", c.OtherWord)
		put("other-order", c.OtherOrder)
		put("outcome", string(c.Outcome))
		put("exit", c.Exit)
		put("reason", c.Reason)
	}
}

// exitKey is the exit status of outcomes that have one.
func (r Row) exitKey() int {
	if r.Outcome == Stub || r.Outcome == Deny {
		return r.Exit
	}
	return 0
}

func tomlStrings(words []string) []string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = tomlString(w)
	}
	return quoted
}

// tomlString is a basic string (TOML 1.0).
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "?") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// plain has no control characters.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// Suppressed describes what of a policy is in force even where everything is emulated: what its rows stub, deny or leave
// to a builtin, for each program that they name. Policies of the same description have the same emulated runs.
func (p *Policy) Suppressed() string {
	var lines []string
	for _, row := range p.Rows() {
		if !row.suppresses() {
			continue
		}
		applets := row.Applets
		if len(applets) == 0 {
			applets = []string{""}
		}
		for _, program := range row.Programs {
			for _, file := range probes(program) {
				for _, applet := range applets {
					lines = append(lines, fmt.Sprintf("%q %v %q: %s", file, row.Script, applet, p.remains(file, row.Script, applet)))
				}
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "\n")
}

func (r Row) suppresses() bool {
	suppressing := func(o Outcome) bool { return o == Stub || o == Deny || o == Builtin }
	return suppressing(r.Outcome) || slices.ContainsFunc(r.Cases, func(c Case) bool { return suppressing(c.Outcome) })
}

// probes are paths that a row's program stands for; a pattern, which matches itself, stands for all that it matches.
func probes(program string) []string {
	if !strings.Contains(program, "/") {
		return []string{"/usr/bin/" + program, "/usr/sbin/" + program}
	}
	return []string{strings.ReplaceAll(program, Triplet, "triplet")}
}

// remains is what full emulation leaves of a decision.
func (p *Policy) remains(file string, script bool, applet string) string {
	row, ok := p.Match(file, script, applet)
	if !ok {
		return ""
	}
	left := func(o Outcome, builtin string) string {
		if o == Native || o == Builtin && builtin != ischroot {
			return string(Emulate)
		}
		return string(o) + builtin
	}
	text := fmt.Sprintf("%s %d %q %q %v", left(row.Outcome, row.Builtin), row.exitKey(), row.Message, row.Valued, row.Interpreter)
	for _, c := range row.Cases {
		text += fmt.Sprintf("; %q %q %q %v %v %v %s %d", c.Called, c.Verb, c.Args, c.NoOperands, c.OtherWord, c.OtherOrder, left(c.Outcome, c.Builtin), c.Exit)
	}
	return text
}
