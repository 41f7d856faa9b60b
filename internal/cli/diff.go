package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/crossroot/crossroot/internal/audit"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/tree"
)

func diffVerb(_ context.Context, e *env, args []string) (int, error) {
	var times, asJSON bool
	f := flags(e, "diff")
	f.BoolVar(&times, "times", false, "compare modification times, too")
	f.BoolVar(&asJSON, "json", false, "print the differences as JSON")
	rest, err := parse(e, f, args)
	if err != nil {
		return 0, err
	}
	if len(rest) == 1 && !times {
		return auditRoot(e, rest[0], asJSON)
	}
	if len(rest) != 2 {
		return 0, usageError{"give a root with packages, or two directories"}
	}
	a, err := session.Scan(rest[0], true)
	if err != nil {
		return 0, err
	}
	b, err := session.Scan(rest[1], true)
	if err != nil {
		return 0, err
	}
	diffs := tree.Compare(a, b, tree.CompareOptions{Times: times})
	code := ExitOK
	if len(diffs) > 0 {
		code = ExitProblem
	}
	if asJSON {
		return code, printDiffJSON(e, diffs)
	}
	for _, d := range diffs {
		fmt.Fprintln(e.stdout, clean(d.String()))
	}
	return code, nil
}

// auditRoot compares one root with what its packages installed.
func auditRoot(e *env, name string, asJSON bool) (int, error) {
	r, err := session.Audit(name)
	if err != nil {
		return 0, err
	}
	code := ExitOK
	if len(r.Findings) > 0 {
		code = ExitProblem
	}
	if asJSON {
		return code, printAuditJSON(e, r)
	}
	for _, f := range r.Findings {
		line := fmt.Sprintf("%s %q", f.Kind, f.Path)
		if f.Package != "" {
			line += " of " + f.Package
		}
		switch f.Kind {
		case audit.Changed, audit.Conffile:
			line += fmt.Sprintf(": md5 %s ≠ %s", f.Want, f.Got)
		case audit.Type:
			line += fmt.Sprintf(": %s ≠ %s", f.Want, f.Got)
		case audit.Unowned, audit.Unread:
			line += ": " + f.Got
		}
		fmt.Fprintln(e.stdout, clean(line))
	}
	if len(r.NoSums) > 0 {
		fmt.Fprintf(e.stderr, "crossroot: of %d packages, %d have no sums, so that only the presence of their files was looked at: %s\n",
			r.Packages, len(r.NoSums), clean(strings.Join(r.NoSums, " ")))
	}
	return code, nil
}

func printAuditJSON(e *env, r *audit.Result) error {
	type finding struct {
		Path    string `json:"path"`
		Kind    string `json:"kind"`
		Package string `json:"package,omitempty"`
		Want    string `json:"want,omitempty"`
		Got     string `json:"got,omitempty"`
	}
	findings := make([]finding, 0, len(r.Findings))
	for _, f := range r.Findings {
		findings = append(findings, finding{quoteBytes(f.Path), string(f.Kind), f.Package, f.Want, quoteBytes(f.Got)})
	}
	encoder := json.NewEncoder(e.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(map[string]any{"packages": r.Packages, "without_sums": quoteAll(r.NoSums), "findings": findings})
}

func printDiffJSON(e *env, diffs []tree.Difference) error {
	type difference struct {
		Path   string `json:"path"`
		Aspect string `json:"aspect"`
		A      string `json:"a"`
		B      string `json:"b"`
	}
	out := make([]difference, 0, len(diffs))
	for _, d := range diffs {
		out = append(out, difference{quoteBytes(d.Path), string(d.Aspect), quoteBytes(d.A), quoteBytes(d.B)})
	}
	encoder := json.NewEncoder(e.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}
