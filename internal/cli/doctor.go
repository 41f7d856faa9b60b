package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/doctor"
	"github.com/crossroot/crossroot/internal/session"
)

// diagnosis is what doctor prints as JSON.
type diagnosis struct {
	Works   bool             `json:"works"`
	Machine []doctor.Finding `json:"machine"`
}

func doctorVerb(ctx context.Context, e *env, args []string) (int, error) {
	var o session.Options
	var asJSON bool
	f := flags(e, "doctor")
	f.StringVar(&o.Tools, "tools", "host", "where native programs come from: `host|DIR`")
	f.BoolVar(&asJSON, "json", false, "print the findings as JSON")
	rest, err := parse(e, f, args)
	if err != nil {
		return 0, err
	}
	_ = arch.Host
	_ = errors.New
	_ = rest
	facts := doctor.Gather(ctx, "/", "", arch.Arch{})
	d := diagnosis{Machine: facts.Findings(doctor.Target{})}
	d.Works = doctor.Works(d.Machine)
	if asJSON {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return 0, encoder.Encode(d)
	}
	p := newPrinter(&env{e.stdin, e.stdout, e.stdout}, false, false, false)
	p.findings("this machine", d.Machine)
	if !d.Works {
		return ExitProblem, nil
	}
	return 0, nil
}

func (p *printer) findings(title string, findings []doctor.Finding) {
	fmt.Fprintln(p.w, p.paint("1", clean(title)))
	for _, f := range findings {
		colour := map[doctor.Level]string{doctor.OK: "32", doctor.Warn: "33", doctor.Fail: "31"}[f.Level]
		fmt.Fprintf(p.w, "  %s %-16s %s\n", p.paint(colour, fmt.Sprintf("%-4s", f.Level)), f.Name, clean(f.Found))
		if f.Remedy != "" {
			fmt.Fprintf(p.w, "  %s %s\n", strings.Repeat(" ", 21), clean(f.Remedy))
		}
	}
}
