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
	"github.com/crossroot/crossroot/internal/wrap"
)

// diagnosis is what doctor prints as JSON.
type diagnosis struct {
	Works   bool             `json:"works"`
	Machine []doctor.Finding `json:"machine"`
	Root    string           `json:"root,omitempty"`
	Arch    string           `json:"arch,omitempty"`
	InRoot  []doctor.Finding `json:"in_root,omitempty"`
}

func doctorVerb(ctx context.Context, e *env, args []string) (int, error) {
	var o session.Options
	var asJSON, fix bool
	f := flags(e, "doctor")
	f.StringVar(&o.Tools, "tools", "host", "where native programs come from: `host|DIR`")
	f.BoolVar(&asJSON, "json", false, "print the findings as JSON")
	f.BoolVar(&fix, "fix", false, "remove what a killed wrap left in roots")
	rest, err := parse(e, f, args)
	if err != nil {
		return 0, err
	}
	if len(rest) > 1 {
		return 0, usageError{"give one ROOT or none"}
	}
	d := &diagnosis{}
	if len(rest) == 1 {
		d.Root = rest[0]
		err = d.withRoot(ctx, newPrinter(e, asJSON, false, false), o)
	} else {
		d.Machine = doctor.Gather(ctx, tools(o), "", arch.Arch{}).Findings(doctor.Target{})
	}
	if err != nil {
		return 0, err
	}
	d.Machine = append(d.Machine, leftovers(fix)...)
	d.Works = doctor.Works(d.Machine) && doctor.Works(d.InRoot)
	if asJSON {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(d)
	} else {
		d.print(newPrinter(&env{e.stdin, e.stdout, e.stdout}, false, false, false))
	}
	if err == nil && !d.Works {
		return ExitProblem, nil
	}
	return ExitOK, err
}

// leftovers tells about, or removes, mount points of wraps that were killed together with their keeper.
func leftovers(fix bool) []doctor.Finding {
	dirs, err := session.UserDirs()
	if err != nil {
		return nil // told by the others
	}
	before, _ := wrap.Leftovers(dirs, false)
	left, err := before, error(nil)
	if fix {
		left, err = wrap.Leftovers(dirs, true)
	}
	finding := doctor.Finding{Name: "leftovers"}
	switch {
	case err != nil:
		finding.Level, finding.Found = doctor.Warn, "of a killed wrap: "+err.Error()
		finding.Remedy = "remove the empty directory .cr by hand"
	case len(left) > 0:
		finding.Level = doctor.Warn
		finding.Found = "a killed wrap left an empty directory .cr in " + strings.Join(left, ", ")
		finding.Remedy = "crossroot doctor --fix, or the next crossroot wrap, removes it"
	case len(before) > 0:
		finding.Level, finding.Found = doctor.OK, "removed from "+strings.Join(before, ", ")
	default:
		return nil
	}
	return []doctor.Finding{finding}
}

func tools(o session.Options) string {
	if o.Tools == "host" {
		return "/"
	}
	return o.Tools
}

// withRoot looks at the machine and at a root. One that can't even be opened is a finding.
func (d *diagnosis) withRoot(ctx context.Context, out *printer, o session.Options) error {
	root, err := session.OpenRoot(d.Root)
	var failed *session.Error
	if errors.As(err, &failed) {
		d.Machine = doctor.Gather(ctx, tools(o), "", arch.Arch{}).Findings(doctor.Target{})
		d.InRoot = []doctor.Finding{{Name: "root", Level: doctor.Fail, Found: err.Error(), Remedy: hint(failed)}}
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	d.Arch = root.Arch.Name
	target := doctor.Target{Name: d.Root, Arch: root.Arch, Native: root.Arch.RunsNativelyOn(arch.Host())}
	facts := doctor.Gather(ctx, tools(o), root.Path, root.Arch)
	d.Machine = facts.Findings(target)
	o.Dirs = facts.Machine.Dirs
	o.Progress = out.progress
	found := doctor.Examine(ctx, root, o)
	out.endProgress()
	d.InRoot = found.Findings()
	return nil
}

// print writes the findings for people.
func (d *diagnosis) print(p *printer) {
	p.findings("this machine", d.Machine)
	what := "crossroot run works here"
	if d.Root != "" {
		fmt.Fprintln(p.w)
		p.findings(d.Root, d.InRoot)
		what = "crossroot run works with this root"
	}
	bad, warned := 0, 0
	for _, f := range append(append([]doctor.Finding(nil), d.Machine...), d.InRoot...) {
		switch f.Level {
		case doctor.Fail:
			bad++
		case doctor.Warn:
			warned++
		}
	}
	switch {
	case bad > 0:
		what = fmt.Sprintf("crossroot run does not work: %s", count(bad, "problem"))
	case warned > 0:
		what += ", " + count(warned, "warning")
	}
	fmt.Fprintf(p.w, "\n%s\n", p.paint("1", what))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// findings writes a section: level, name and what was found in columns, the way out of a problem below.
func (p *printer) findings(title string, findings []doctor.Finding) {
	fmt.Fprintln(p.w, p.paint("1", clean(title)))
	colours := map[doctor.Level]string{doctor.OK: "32", doctor.Warn: "33", doctor.Fail: "31"}
	for _, f := range findings {
		fmt.Fprintf(p.w, "  %s %-15s %s\n", p.paint(colours[f.Level], fmt.Sprintf("%-4s", f.Level)), f.Name, clean(f.Found))
		if f.Remedy != "" {
			fmt.Fprintf(p.w, "  %4s %-15s → %s\n", "", "", clean(f.Remedy))
		}
	}
}
