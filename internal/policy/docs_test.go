package policy

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

//go:generate go test -run TestDocs -update .

var update = flag.Bool("update", false, "write the lists of rows into docs/policy.md")

// TestDocs keeps the lists of rows in docs/policy.md equal to the policies.
func TestDocs(t *testing.T) {
	const file = "../../docs/policy.md"
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(old)
	for _, name := range append([]string{"default"}, Names()...) {
		p, err := Default()
		if name != "default" {
			p, err = Shipped(name)
		}
		if err != nil {
			t.Fatal(err)
		}
		var proven map[string][]string
		if name == "default" {
			proven = verified(t)
		}
		begin, end := "<!-- rows of "+name+" -->\n", "<!-- end of "+name+" -->\n"
		before, rest, ok := strings.Cut(text, begin)
		_, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("%s has no place for the rows of %s", file, name)
		}
		text = before + begin + table(p.Rows(), proven) + end + after
	}
	switch {
	case text == string(old):
	case !*update:
		t.Errorf("%s is stale: go generate ./internal/policy", file)
	default:
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// table writes rows as a Markdown table; of proven ones it names the architectures.
func table(rows []Row, proven map[string][]string) string {
	var b strings.Builder
	b.WriteString("| row | programs | outcome | conditions | verified | reason |\n|---|---|---|---|---|---|\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", cell(row.Name), cell(programList(row)), row.Outcome, cell(conditionList(row)), strings.Join(proven[row.Name], ", "), cell(reasonOf(row.Reason, row.Source)))
		for _, c := range row.Cases {
			reason := c.Reason
			if reason == "" {
				reason = row.Reason
			}
			fmt.Fprintf(&b, "| | %s | %s | | | %s |\n", cell(caseList(c)), c.Outcome, cell(reasonOf(reason, c.Source)))
		}
	}
	return b.String()
}

func cell(s string) string { return strings.NewReplacer("|", `\|`, "<", `\<`, "*", `\*`).Replace(s) }

func programList(row Row) string {
	list := strings.Join(row.Programs, " ")
	if row.Script {
		list = "script: " + list
	}
	if len(row.Applets) > 0 {
		list += ": applets " + strings.Join(row.Applets, " ")
	}
	return list
}

func reasonOf(reason, source string) string {
	if source == "" {
		return reason
	}
	return reason + " [" + source + "]"
}

func conditionList(row Row) string {
	if row.Outcome != Native && !usesNative(row.Cases) || row.Script {
		return ""
	}
	var list []string
	if row.Version != versionAny {
		list = append(list, row.Version+" version")
	}
	for _, c := range []struct {
		holds bool
		word  string
	}{
		{row.SameWord, "word size"},
		{row.SameOrder, "byte order"},
		{row.Libc == libcSame, "libc"},
		{row.Identity != "", "identity (" + row.Identity + ")"},
		{len(row.Needs) > 0, strings.Join(row.Needs, ", ")},
		{row.Near, "near"},
		{row.Multicall, "multi-call"},
	} {
		if c.holds {
			list = append(list, c.word)
		}
	}
	return strings.Join(list, ", ")
}

func usesNative(cases []Case) bool {
	for _, c := range cases {
		if c.Outcome == Native {
			return true
		}
	}
	return false
}

func caseList(c Case) string {
	var list []string
	if len(c.Called) > 0 {
		list = append(list, "called "+strings.Join(c.Called, " "))
	}
	if len(c.Verb) > 0 {
		list = append(list, "verb "+strings.Join(c.Verb, " "))
	}
	if len(c.Args) > 0 {
		list = append(list, "arguments "+strings.Join(c.Args, " … "))
	}
	if c.NoOperands {
		list = append(list, "no operands")
	}
	if c.OtherWord {
		list = append(list, "another word size")
	}
	if c.OtherOrder {
		list = append(list, "another byte order")
	}
	return strings.Join(list, "; ")
}
