package cli

import (
	"context"
	"encoding/json"
	"fmt"

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
	if len(rest) != 2 {
		return 0, usageError{"give two directories"}
	}
	a, err := session.Scan(rest[0])
	if err != nil {
		return 0, err
	}
	b, err := session.Scan(rest[1])
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
