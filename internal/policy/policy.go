// Package policy decides what runs in place of one foreign executable or script: the target's own
// file under the emulator, a native program of the tool root, a builtin, a stub, or nothing.
//
// It is an allow-list written as data (TOML rows with conditions and a reason each) and a pure
// function over it: the same [Subject] always yields the same [Decision], and what no row vouches
// for is emulated. Every decision carries a sentence that a user understands.
//
// It must not know the kernel, files, processes or where the tool root lies: what has to be looked
// up (versions, tools, name services) arrives in the Subject.
package policy

import "slices"

// Policy is an ordered list of rows; the first row that names a program decides.
// It is immutable and safe for concurrent use.
type Policy struct {
	rows []Row
}

// With returns a policy that looks at the rows of user first, then at those of p. Either may be nil.
func (p *Policy) With(user *Policy) *Policy {
	return &Policy{rows: slices.Concat(user.Rows(), p.Rows())}
}

// Rows returns a copy of the rows in the order in which they are looked at.
func (p *Policy) Rows() []Row {
	if p == nil {
		return nil
	}
	return slices.Clone(p.rows)
}

// Scripts returns the rows that name scripts.
func (p *Policy) Scripts() []Row {
	var scripts []Row
	for _, row := range p.Rows() {
		if row.Script {
			scripts = append(scripts, row)
		}
	}
	return scripts
}

// Match returns the first row for a program: path is absolute inside the target root, symlinks
// resolved; script says whether it is a script or an ELF executable; applet is the applet of a
// multi-call executable or "". Rows for certain applets are passed over when applet is another one.
func (p *Policy) Match(path string, script bool, applet string) (Row, bool) {
	if p == nil {
		return Row{}, false
	}
	path = Canonical(path)
	for _, row := range p.rows {
		if row.Script == script && row.holdsFor(applet) && row.names(path) {
			return row, true
		}
	}
	return Row{}, false
}
