package policy

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/arch"
)

func mustParse(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustArch(t testing.TB, name string) arch.Arch {
	t.Helper()
	a, ok := arch.Lookup(name)
	if !ok {
		t.Fatalf("no architecture %q", name)
	}
	return a
}

func found(target, tool string) func(Row) (Evidence, error) {
	return func(Row) (Evidence, error) { return Evidence{target, tool, "package x"}, nil }
}

const conditionRows = `
[[row]]
programs = ["plain"]
outcome = "native"
near = true
libc = "same"
reason = "because"
[[row]]
programs = ["strict"]
outcome = "native"
version = "full"
identity = "decides"
reason = "because"
[[row]]
programs = ["shown"]
outcome = "native"
near = true
identity = "shown"
version = "any"
reason = "because"
[[row]]
programs = ["word"]
outcome = "native"
same-word = true
version = "any"
near = true
reason = "because"
[[row]]
programs = ["order"]
outcome = "native"
same-order = true
version = "any"
reason = "because"
[[row]]
programs = ["users"]
outcome = "native"
needs = ["nss"]
version = "series"
reason = "because"
[[row]]
programs = ["service"]
outcome = "stub"
exit = 3
message = "no service"
reason = "because"
[[row]]
programs = ["never"]
outcome = "deny"
reason = "because"
[[row]]
programs = ["cache"]
outcome = "builtin"
builtin = "cache"
reason = "because"
[[row]]
programs = ["/opt/s"]
script = true
outcome = "emulate"
reason = "because"
`

func TestDecide(t *testing.T) {
	p := mustParse(t, conditionRows)
	tool := &Tool{Path: "/.cr/bin/x"}
	same := found("1:9.4-2+b1", "9.4-7")
	tests := []struct {
		name    string
		target  string // default armhf
		subject Subject
		want    Decision
	}{
		{
			"no row", "", Subject{Path: "/usr/bin/nothing", Tool: tool, Versions: same},
			Decision{Outcome: Emulate, Reason: "no policy row"},
		},
		{
			"same version", "", Subject{Path: "/bin/plain", Tool: tool, Versions: same, LibcTarget: "glibc", LibcHost: "glibc"},
			Decision{Outcome: Native, Row: "plain", Native: "/.cr/bin/x", Reason: "plain: version 9.4 on both sides (package x); because"},
		},
		{
			"no tool", "", Subject{Path: "/usr/sbin/plain", Versions: same},
			Decision{Outcome: Emulate, Row: "plain", Reason: "plain: the tool root has no plain: emulated"},
		},
		{
			"another version", "", Subject{Path: "/bin/plain", Tool: tool, Versions: found("9.4-1", "9.1-1"), LibcTarget: "glibc", LibcHost: "glibc"},
			Decision{Outcome: Emulate, Row: "plain", Reason: "plain: the target has 9.4, the tool root 9.1: emulated; --fidelity near would allow it"},
		},
		{
			"another version, near", "", Subject{Path: "/bin/plain", Fidelity: Near, Tool: tool, Versions: found("9.4-1", "9.1-1"), LibcTarget: "glibc", LibcHost: "glibc"},
			Decision{Outcome: Native, Row: "plain", Near: true, Native: "/.cr/bin/x", Reason: "plain: the target has 9.4, the tool root 9.1, near fidelity ignores that; because"},
		},
		{
			"same version, near", "", Subject{Path: "/bin/plain", Fidelity: Near, Tool: tool, Versions: same, LibcTarget: "musl", LibcHost: "musl"},
			Decision{Outcome: Native, Row: "plain", Native: "/.cr/bin/x", Reason: "plain: version 9.4 on both sides (package x); because"},
		},
		{
			"nobody knows the version", "", Subject{Path: "/bin/plain", Tool: tool, LibcTarget: "glibc", LibcHost: "glibc"},
			Decision{Outcome: Emulate, Row: "plain", Reason: "plain: nobody knows which version the target has: emulated; --fidelity near would allow it"},
		},
		{
			"no evidence", "", Subject{Path: "/bin/plain", Tool: tool, Versions: found("", "1"), LibcTarget: "glibc", LibcHost: "glibc"},
			Decision{Outcome: Emulate, Row: "plain", Reason: "plain: the target's program does not tell its version: emulated; --fidelity near would allow it"},
		},
		{
			"evidence fails", "", Subject{
				Path: "/bin/plain", Tool: tool, LibcTarget: "glibc", LibcHost: "glibc",
				Versions: func(Row) (Evidence, error) { return Evidence{}, errors.New("read x: no") },
			},
			Decision{Outcome: Emulate, Row: "plain", Reason: "plain: its version can't be found out (read x: no): emulated; --fidelity near would allow it"},
		},
		{
			"another libc", "", Subject{Path: "/bin/plain", Tool: tool, Versions: same, LibcTarget: "musl", LibcHost: "glibc"},
			Decision{Outcome: Emulate, Row: "plain", Reason: "plain: the target has musl, the tool root glibc: emulated; --fidelity near would allow it"},
		},
		{
			"unknown libc", "", Subject{Path: "/bin/plain", Tool: tool, Versions: same, LibcHost: "glibc"},
			Decision{Outcome: Emulate, Row: "plain", Reason: "plain: it needs the same C library on both sides, and that is not known: emulated; --fidelity near would allow it"},
		},
		{
			"full version: rebuilds are equal, stable updates are not", "", Subject{Path: "/bin/strict", Tool: &Tool{Path: "/t", Identity: "armhf"}, Versions: found("1-2+b1", "1-2")},
			Decision{Outcome: Native, Row: "strict", Native: "/t", Reason: "strict: version 1-2+b1, the tool root's is 1-2, which the row allows (package x); because"},
		},
		{
			"full version differs; near does not help", "", Subject{Path: "/bin/strict", Fidelity: Near, Tool: &Tool{Path: "/t", Identity: "armhf"}, Versions: found("1-2", "1-3")},
			Decision{Outcome: Emulate, Row: "strict", Reason: "strict: the target has 1-2, the tool root 1-3: emulated"},
		},
		{
			"identity decides; near does not help", "", Subject{Path: "/bin/strict", Fidelity: Near, Tool: tool, Versions: found("1", "1")},
			Decision{Outcome: Emulate, Row: "strict", Reason: "strict: it has this machine's name (amd64) compiled in, and the tool root has none that says armhf: emulated"},
		},
		{
			"identity of another target", "arm64", Subject{Path: "/bin/strict", Tool: &Tool{Identity: "armhf"}, Versions: found("1", "1")},
			Decision{Outcome: Emulate, Row: "strict", Reason: "strict: it has this machine's name (amd64) compiled in, and the tool root has none that says arm64: emulated"},
		},
		{
			"identity shown", "", Subject{Path: "/bin/shown", Tool: tool},
			Decision{Outcome: Emulate, Row: "shown", Reason: "shown: it has this machine's name (amd64) compiled in, and the tool root has none that says armhf: emulated; --fidelity near would allow it"},
		},
		{
			"identity shown, near", "", Subject{Path: "/bin/shown", Fidelity: Near, Tool: tool},
			Decision{Outcome: Native, Row: "shown", Near: true, Native: "/.cr/bin/x", Reason: "shown: it has this machine's name (amd64) compiled in, and the tool root has none that says armhf, near fidelity ignores that; because"},
		},
		{
			"word size; near does not help", "", Subject{Path: "/bin/word", Fidelity: Near, Tool: tool},
			Decision{Outcome: Emulate, Row: "word", Reason: "word: its results depend on the word size, 64 bits here and 32 in the target: emulated"},
		},
		{
			"same word size", "arm64", Subject{Path: "/bin/word", Tool: tool},
			Decision{Outcome: Native, Row: "word", Native: "/.cr/bin/x", Reason: "word: any version; because"},
		},
		{
			"byte order", "s390x", Subject{Path: "/bin/order", Tool: tool},
			Decision{Outcome: Emulate, Row: "order", Reason: "order: its results depend on the byte order, and the target's is another: emulated"},
		},
		{
			"same byte order", "", Subject{Path: "/bin/order", Tool: tool},
			Decision{Outcome: Native, Row: "order", Native: "/.cr/bin/x", Reason: "order: any version; because"},
		},
		{
			"a need is not met", "", Subject{Path: "/bin/users", Tool: tool, Versions: same, Lacks: map[string]string{"nss": "libnss_ldap.so.2"}},
			Decision{Outcome: Emulate, Row: "users", Reason: "users: the target asks for libnss_ldap.so.2 (nss), which the tool root lacks: emulated"},
		},
		{
			"series", "", Subject{Path: "/bin/users", Tool: tool, Versions: found("1.21.23", "1.21.22")},
			Decision{Outcome: Native, Row: "users", Native: "/.cr/bin/x", Reason: "users: version 1.21.23, the tool root's is 1.21.22, which the row allows (package x); because"},
		},
		{
			"another series", "", Subject{Path: "/bin/users", Tool: tool, Versions: found("1.22.1", "1.21.22")},
			Decision{Outcome: Emulate, Row: "users", Reason: "users: the target has 1.22.1, the tool root 1.21.22: emulated"},
		},
		{
			"stub", "", Subject{Path: "/usr/sbin/service"},
			Decision{Outcome: Stub, Row: "service", Exit: 3, Message: "no service", Reason: "service: because"},
		},
		{
			"deny", "", Subject{Path: "/usr/sbin/never"},
			Decision{Outcome: Deny, Row: "never", Exit: 126, Reason: "never: because"},
		},
		{
			"builtin", "", Subject{Path: "/sbin/cache"},
			Decision{Outcome: Builtin, Row: "cache", Builtin: "cache", Reason: "cache: because"},
		},
		{
			"a script with a row", "", Subject{Path: "/opt/s", Script: true},
			Decision{Outcome: Emulate, Row: "/opt/s", Reason: "/opt/s: because"},
		},
		{
			"an executable where a row names a script", "", Subject{Path: "/opt/s"},
			Decision{Outcome: Emulate, Reason: "no policy row"},
		},
		{
			"a script without a row", "", Subject{Path: "/bin/plain", Script: true},
			Decision{Outcome: Native, Reason: "no policy row: the script runs, its interpreter is decided on its own"},
		},
		{
			"a CPU that this machine runs", "i386", Subject{Path: "/bin/plain", Tool: tool},
			Decision{Outcome: Native, Row: "plain", Reason: "this machine (amd64) runs i386 itself"},
		},
		{
			"a CPU that this machine runs, no row", "i386", Subject{Path: "/bin/nothing"},
			Decision{Outcome: Native, Reason: "this machine (amd64) runs i386 itself"},
		},
		{
			"a CPU that this machine runs, stub", "i386", Subject{Path: "/bin/never"},
			Decision{Outcome: Deny, Row: "never", Exit: 126, Reason: "never: because"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.target == "" {
				test.target = "armhf"
			}
			test.subject.Target, test.subject.Host = mustArch(t, test.target), mustArch(t, "amd64")
			test.want.Lacking = lackingText.MatchString(test.want.Reason)
			if diff := cmp.Diff(test.want, p.Decide(test.subject)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

// lackingText is in the reasons of decisions that another tool root could change.
var lackingText = regexp.MustCompile("the tool root has no [a-z]+:|which the tool root lacks|the tool root's .*(has no applet|lacks applets|tell its version)|applets of the target's program are not known|the target has [0-9][^ ]*, the tool root")

func TestDecideMulticall(t *testing.T) {
	p := mustParse(t, `
[[row]]
name = "box: services"
programs = ["box", "box.*"]
applets = ["mount", "if*"]
outcome = "stub"
reason = "no"
[[row]]
name = "box"
programs = ["box", "box.*"]
tool = "box"
multicall = true
interpreter = true
outcome = "native"
near = true
version = "any"
reason = "yes"
`)
	target, host := mustArch(t, "armhf"), mustArch(t, "amd64")
	tool := &Tool{Path: "/.cr/bin/box", Applets: []string{"ls", "mount", "sh"}}
	tests := []struct {
		name     string
		applet   string
		applets  []string
		fidelity Fidelity
		outcome  Outcome
		why      string // contained in the reason
		multi    bool
	}{
		{"as a whole", "", nil, Exact, Native, "any version", true},
		{"covered", "ls", []string{"ls", "sh"}, Exact, Native, "any version", false},
		{"not covered", "ls", []string{"ls", "a", "b", "c", "d"}, Exact, Emulate, "lacks applets of the target's (a, b, c, 1 more)", false},
		{"not covered, near", "ls", []string{"ls", "a"}, Near, Native, "near fidelity", false},
		{"nobody knows", "ls", nil, Exact, Emulate, "are not known", false},
		{"applet missing, near", "wc", []string{"wc"}, Near, Emulate, "has no applet wc", false},
		{"row of its own", "mount", nil, Exact, Stub, "box: services: no", false},
		{"row of its own, by pattern", "ifup", nil, Exact, Stub, "box: services: no", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := p.Decide(Subject{
				Path: "/bin/box.nosuid", Applet: test.applet, Applets: test.applets, Fidelity: test.fidelity,
				Tool: tool, Target: target, Host: host,
			})
			if d.Outcome != test.outcome || !strings.Contains(d.Reason, test.why) || d.Multicall != test.multi || d.Applet != test.applet {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestUserRowsComeFirst(t *testing.T) {
	base := mustParse(t, conditionRows)
	user := mustParse(t, "[[row]]\nname = \"mine\"\nprograms = [\"/usr/sbin/service\"]\noutcome = \"emulate\"\nreason = \"I want it\"\n")
	subject := Subject{Path: "/sbin/service", Target: mustArch(t, "armhf"), Host: mustArch(t, "amd64")}
	if d := base.With(user).Decide(subject); d.Row != "mine" || d.Outcome != Emulate {
		t.Errorf("with the user's policy: %+v", d)
	}
	if d := base.With(nil).Decide(subject); d.Row != "service" {
		t.Errorf("without: %+v", d)
	}
	if d := base.Decide(subject); d.Row != "service" {
		t.Errorf("With changed its receiver: %+v", d)
	}
}

// TestDecisionSurvivesJSON is what the exec map relies on.
func TestDecisionSurvivesJSON(t *testing.T) {
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	d := p.Decide(Subject{Path: "/usr/bin/systemctl", Target: mustArch(t, "armhf"), Host: mustArch(t, "amd64")})
	if len(d.ByArgs) == 0 || len(d.Valued) == 0 {
		t.Fatalf("systemctl does not depend on its arguments: %+v", d)
	}
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var back Decision
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, back); diff != "" {
		t.Error(diff)
	}
}
