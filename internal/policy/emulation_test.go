package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// For each program of the built-in policy: the row that is written has it emulated, and the rest of the decision stays.
func TestEmulating(t *testing.T) {
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	target, host := mustArch(t, "armhf"), mustArch(t, "amd64")
	none := func(Program) string { return "because" }
	tried := 0
	for _, row := range p.Rows() {
		if row.Script || row.Multicall || row.Builtin == ischroot {
			continue
		}
		for _, name := range row.Programs {
			for _, file := range probes(name) {
				program := Program{Path: file}
				if len(row.Applets) > 0 {
					program.Applet = row.Applets[0]
				}
				s := Subject{Path: file, Applet: program.Applet, Target: target, Host: host, Tool: &Tool{Path: "/t", Identity: "armhf"}, Fidelity: Near}
				text := Emulating(p, []Program{program}, none)
				user, err := Parse("user.toml", []byte(text))
				if err != nil {
					t.Fatalf("%s: %v\n%s", file, err, text)
				}
				before, after := p.Decide(s), p.With(user).Decide(s)
				if want := outcomesOf(before); !cmp.Equal(outcomesOf(after), want) {
					t.Errorf("%s %s: %v, want %v\n%s", file, program.Applet, outcomesOf(after), want, text)
				}
				if !strings.Contains(p.With(user).remains(file, false, program.Applet), p.remains(file, false, program.Applet)) {
					t.Errorf("%s: full emulation differs\n%s", file, text)
				}
				tried++
			}
		}
	}
	if tried < 200 {
		t.Errorf("only %d programs", tried)
	}
}

// outcomesOf lists the outcomes of a decision and its cases, those that emulation replaces as emulations.
func outcomesOf(d Decision) []Outcome {
	list := []Outcome{emulation(d.Outcome)}
	for _, c := range d.ByArgs {
		list = append(list, emulation(c.Then.Outcome))
	}
	return list
}

func TestEmulatingText(t *testing.T) {
	p := mustParse(t, "[[row]]\nname = \"s\"\nprograms = [\"x*\"]\noutcome = \"native\"\nreason = \"r\"\n[[row.case]]\nverb = [\"start\"]\noutcome = \"stub\"\n")
	got := Emulating(p, []Program{{Path: "/bin/x|y"}, {Path: "/opt/none"}}, func(Program) string { return "a\x1b\nb" })
	want := `# a?
# b
[[row]]
name = "s, emulated"
programs = ["/usr/bin/x?y"]
outcome = "emulate"
reason = "what it does natively differs from what it does emulated"
[[row.case]]
verb = ["start"]
outcome = "stub"
reason = "r"
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

// Only what stays in force under full emulation counts.
func TestSuppressed(t *testing.T) {
	p := mustParse(t, conditionRows)
	same := func(user string) bool { return p.With(mustParse(t, user)).Suppressed() == p.Suppressed() }
	if !same("[[row]]\nprograms = [\"plain\"]\noutcome = \"emulate\"\nreason = \"r\"\n") {
		t.Error("an emulated program changes what is suppressed")
	}
	for _, user := range []string{
		"[[row]]\nprograms = [\"service\"]\noutcome = \"emulate\"\nreason = \"r\"\n",
		"[[row]]\nprograms = [\"service\"]\noutcome = \"stub\"\nexit = 4\nreason = \"r\"\n",
		"[[row]]\nprograms = [\"plain\"]\noutcome = \"stub\"\nreason = \"r\"\n",
		"[[row]]\nprograms = [\"s*\"]\noutcome = \"native\"\nreason = \"r\"\n[[row.case]]\nverb = [\"x\"]\noutcome = \"deny\"\n",
	} {
		if same(user) {
			t.Errorf("nothing changes by %q", user)
		}
	}
	d, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	fix := Emulating(d, []Program{{Path: "/usr/bin/perl"}, {Path: "/usr/bin/sysctl"}, {Path: "/usr/bin/systemctl"}}, func(Program) string { return "" })
	if d.With(mustParse(t, fix)).Suppressed() != d.Suppressed() {
		t.Error("rows that emulate change what is suppressed")
	}
}
