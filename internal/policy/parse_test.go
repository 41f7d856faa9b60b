package policy

import (
	"errors"
	"strings"
	"testing"
)

func TestParseErrors(t *testing.T) {
	row := func(lines ...string) string {
		return "# a policy\n[[row]]\nprograms = [\"x\"]\n" + strings.Join(lines, "\n") + "\n"
	}
	good := row(`outcome = "native"`, `reason = "r"`)
	tests := []struct {
		name, text string
		want       string // the whole message up to its length
	}{
		{"syntax", "[[row]]\nprograms = [\n", `p.toml:2: key "row.programs": `},
		{"type", row(`outcome = 3`) + good, `p.toml:4: key "outcome": incompatible types`},
		{"type of all", "row = 3\n", `p.toml:1: key "row": `},
		{"type in a case", good + "[[row.case]]\nverb = 3\n" + good, `p.toml:7: key "verb": `},
		{"unknown key", row(`outcom = "native"`), `p.toml:4: key "outcom": unknown key; known here: name, programs, script,`},
		{"unknown key outside", "[rows]\nx = 1\n", `p.toml:1: key "rows": unknown key; known here: row`},
		{"unknown key in the second row", good + row(`verbs = ["x"]`), `p.toml:9: key "verbs": unknown key`},
		{"unknown key in a case", good + "[[row.case]]\nprograms = [\"a\"]\n", `p.toml:7: key "programs": unknown key; known here: called, verb,`},
		{"unknown key in an inline case", row(`outcome = "stub"`, `reason = "r"`, `case = [{vreb = ["a"], outcome = "stub"}]`), `p.toml:6: key "vreb": unknown key; known here: called,`},
		{"no program", "[[row]]\nname = \"n\"\noutcome = \"stub\"\nreason = \"r\"\n", `p.toml:1: row "n": key "programs": the row names no program; write programs = ["name"]`},
		{"directory", "[[row]]\nprograms = [\"/usr/bin/\"]\n", `p.toml:2: row "/usr/bin/": key "programs": "/usr/bin/" names no program`},
		{"not canonical", "[[row]]\nprograms = [\"/bin/x\"]\n", `p.toml:2: row "/bin/x": key "programs": "/bin/x" is not spelled canonically; write "/usr/bin/x"`},
		{"relative", "[[row]]\nprograms = [\"bin/x\"]\n", `p.toml:2: row "bin/x": key "programs": "bin/x" is not spelled canonically; write "/usr/bin/x"`},
		{"pattern in a directory", "[[row]]\nprograms = [\"/opt/*/x\"]\n", `p.toml:2: row "/opt/*/x": key "programs": "/opt/*/x" has a pattern in a directory`},
		{"no outcome", row(`reason = "r"`), `p.toml:2: row "x": key "outcome": unknown value ""; it is one of "native", "emulate", "builtin", "stub", "deny"`},
		{"unknown outcome", row(`outcome = "nativ"`), `p.toml:4: row "x": key "outcome": unknown value "nativ"; it is one of`},
		{"builtin without name", row(`outcome = "builtin"`), `p.toml:2: row "x": key "builtin": outcome "builtin" needs the builtin's name`},
		{"name without builtin", row(`outcome = "stub"`, `builtin = "b"`), `p.toml:5: row "x": key "builtin": only outcome "builtin" has a builtin, this is "stub"`},
		{"exit of native", row(`outcome = "native"`, `exit = 2`), `p.toml:5: row "x": key "exit": only "stub" and "deny" have an exit status, this is "native"`},
		{"exit out of range", row(`outcome = "stub"`, `exit = 256`), `p.toml:5: row "x": key "exit": 256 is no exit status; it is 0 to 255`},
		{"version", row(`outcome = "native"`, `version = "same"`), `p.toml:5: row "x": key "version": unknown value "same"; it is one of "any", "series", "upstream", "full"`},
		{"pattern", row(`outcome = "native"`, `version-pattern = "("`), `p.toml:5: row "x": key "version-pattern": error parsing regexp`},
		{"groups", row(`outcome = "native"`, `version-pattern = "a"`), `p.toml:5: row "x": key "version-pattern": the pattern needs exactly one group`},
		{"libc", row(`outcome = "native"`, `libc = "glibc"`), `p.toml:5: row "x": key "libc": unknown value "glibc"; it is one of "", "same"`},
		{"identity", row(`outcome = "native"`, `identity = "x"`), `p.toml:5: row "x": key "identity": unknown value "x"; it is one of "", "shown", "decides"`},
		{"tool", row(`outcome = "native"`, `tool = "/bin/x"`), `p.toml:5: row "x": key "tool": a tool is a base name`},
		{"need", row(`outcome = "native"`, `reason = "r"`, `needs = ["nss", "dns"]`), `p.toml:6: row "x": key "needs": unknown value "dns"; it is one of "nss", "pam", "gconv"`},
		{"multicall", row(`outcome = "native"`, `applets = ["a"]`, `multicall = true`), `p.toml:6: row "x": key "multicall": a multicall row is for an executable as a whole`},
		{"interpreter", row(`outcome = "native"`, `script = true`, `interpreter = true`), `p.toml:6: row "x": key "interpreter": a script is no interpreter`},
		{"no reason", row(`outcome = "native"`, `reason = " "`), `p.toml:5: row "x": key "reason": every row needs a reason`},
		{"case without condition", good + "[[row.case]]\noutcome = \"stub\"\n", `p.toml:7: row "x": key "outcome": the case has no condition on the arguments`},
		{"outcome of the second case", good + "[[row.case]]\noutcome = \"stub\"\nno-operands = true\n[[row.case]]\noutcome = \"stop\"\n", `p.toml:10: row "x": key "outcome": unknown value "stop"`},
		{"exit of a case", good + "[[row.case]]\nverb = [\"a\"]\noutcome = \"native\"\nexit = 1\n", `p.toml:9: row "x": key "exit": only "stub"`},
		{"builtin of a case", good + "[[row.case]]\nverb = [\"a\"]\noutcome = \"builtin\"\n", `p.toml:6: row "x": key "builtin": outcome "builtin" needs`},
		{
			"family", row(`outcome = "native"`, `reason = "r"`, `family = "f"`) + row(`outcome = "emulate"`, `reason = "r"`, `family = "f"`),
			`p.toml:12: row "x": key "family": family "f" has one outcome`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := Parse("p.toml", []byte(test.text))
			var e *Error
			if p != nil || !errors.As(err, &e) {
				t.Fatalf("got %v, %v, want an *Error", p, err)
			}
			if !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got  %s\nwant %s…", err, test.want)
			}
		})
	}
}

func TestParseDefaults(t *testing.T) {
	p := mustParse(t, "[[row]]\nprograms = [\"a\", \"b\"]\noutcome = \"deny\"\nreason = \"r\"\n")
	if row := p.Rows()[0]; row.Name != "a" || row.Version != "upstream" || row.Exit != 126 {
		t.Errorf("got %+v", row)
	}
	if p := mustParse(t, ""); len(p.Rows()) != 0 {
		t.Error("an empty file has rows")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(conditionRows))
	f.Add(imageTOML)
	f.Add([]byte("row = [{programs = [\"[\"], outcome = \"stub\", reason = \"r\", case = [{args = [\"*|a\"], outcome = \"deny\"}]}]"))
	f.Add([]byte("[[row]]\nfoo.bar = 1\n"))
	target, host := mustArch(f, "armhf"), mustArch(f, "amd64")
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("fuzz.toml", data)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || e.Reason == "" {
				t.Fatalf("error without a place: %#v", err)
			}
			return
		}
		for _, row := range p.Rows() {
			for _, program := range row.Programs {
				s := Subject{Path: program, Script: row.Script, Target: target, Host: host, Tool: &Tool{Path: "/t"}}
				d := p.Decide(s)
				if d.Reason == "" {
					t.Fatalf("decision without a reason: %+v", d)
				}
				Pick(d, []string{program, "start", "--all"})
			}
		}
	})
}
