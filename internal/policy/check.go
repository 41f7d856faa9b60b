package policy

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

var (
	outcomes     = []Outcome{Native, Emulate, Builtin, Stub, Deny}
	versionRules = []string{versionAny, versionSeries, versionUpstream, versionFull}
	needs        = []string{"nss", "pam", "gconv"}
	rowKeys      = tomlKeys(Row{})
	caseKeys     = tomlKeys(Case{})
)

// tomlKeys lists the TOML keys of a struct.
func tomlKeys(of any) []string {
	var keys []string
	for _, field := range reflect.VisibleFields(reflect.TypeOf(of)) {
		keys = append(keys, field.Tag.Get("toml"))
	}
	return keys
}

// mistake is what is wrong with one key of a row.
type mistake struct {
	key    string
	inCase int // index of the case it is in, -1: in the row itself
	err    error
}

// check returns the first mistake of a row.
func check(row Row) *mistake {
	checks := []struct {
		key string
		err error
	}{
		{"programs", checkPrograms(row.Programs)},
		{"outcome", oneOf(outcomes, row.Outcome)},
		{"builtin", checkBuiltin(row.Outcome, row.Builtin)},
		{"exit", checkExit(row.Outcome, row.Exit)},
		{"version", oneOf(versionRules, row.Version)},
		{"version-pattern", checkPattern(row.VersionPattern)},
		{"libc", oneOf([]string{"", libcSame}, row.Libc)},
		{"identity", oneOf([]string{"", identityShown, identityDecides}, row.Identity)},
		{"tool", checkTool(row.Tool)},
		{"multicall", unless(row.Multicall && (row.Script || len(row.Applets) > 0 || len(row.Cases) > 0),
			"a multicall row is for an executable as a whole: give script, applets and cases rows of their own")},
		{"interpreter", unless(row.Interpreter && row.Script, "a script is no interpreter; drop one of the two keys")},
		{"reason", unless(strings.TrimSpace(row.Reason) == "", "every row needs a reason: say why the outcome is right")},
	}
	for _, need := range row.Needs {
		checks = append(checks, struct {
			key string
			err error
		}{"needs", oneOf(needs, need)})
	}
	for _, c := range checks {
		if c.err != nil {
			return &mistake{c.key, -1, c.err}
		}
	}
	for i, c := range row.Cases {
		if key, err := checkCase(c); err != nil {
			return &mistake{key, i, err}
		}
	}
	return nil
}

func checkCase(c Case) (key string, err error) {
	if err := oneOf(outcomes, c.Outcome); err != nil {
		return "outcome", err
	}
	if err := checkBuiltin(c.Outcome, c.Builtin); err != nil {
		return "builtin", err
	}
	if len(c.Called)+len(c.Verb)+len(c.Args) == 0 && !c.NoOperands {
		return "outcome", errors.New("the case has no condition on the arguments: give called, verb, args or no-operands")
	}
	return "exit", checkExit(c.Outcome, c.Exit)
}

func unless(wrong bool, reason string) error {
	if wrong {
		return errors.New(reason)
	}
	return nil
}

func oneOf[T ~string](known []T, value T) error {
	if slices.Contains(known, value) {
		return nil
	}
	quoted := make([]string, len(known))
	for i, k := range known {
		quoted[i] = fmt.Sprintf("%q", string(k))
	}
	return fmt.Errorf("unknown value %q; it is one of %s", string(value), strings.Join(quoted, ", "))
}

func checkPrograms(programs []string) error {
	if len(programs) == 0 {
		return errors.New(`the row names no program; write programs = ["name"]`)
	}
	for _, program := range programs {
		dir, base := path.Split(program)
		switch {
		case base == "":
			return fmt.Errorf("%q names no program; write a bare name or an absolute path", program)
		case dir == "":
		case Canonical(program) != program:
			return fmt.Errorf("%q is not spelled canonically; write %q", program, Canonical(program))
		case strings.ContainsAny(dir, "*?["):
			return fmt.Errorf("%q has a pattern in a directory; patterns are allowed in the last component", program)
		}
	}
	return nil
}

func checkBuiltin(outcome Outcome, builtin string) error {
	switch {
	case outcome == Builtin && builtin == "":
		return errors.New(`outcome "builtin" needs the builtin's name`)
	case outcome != Builtin && builtin != "":
		return fmt.Errorf(`only outcome "builtin" has a builtin, this is %q`, string(outcome))
	}
	return nil
}

func checkExit(outcome Outcome, exit int) error {
	switch {
	case exit < 0 || exit > 255:
		return fmt.Errorf("%d is no exit status; it is 0 to 255", exit)
	case exit != 0 && outcome != Stub && outcome != Deny:
		return fmt.Errorf(`only "stub" and "deny" have an exit status, this is %q`, string(outcome))
	}
	return nil
}

func checkPattern(pattern string) error {
	if pattern == "" {
		return nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	return unless(re.NumSubexp() != 1, "the pattern needs exactly one group, around the version")
}

func checkTool(tool string) error {
	return unless(strings.Contains(tool, "/"), "a tool is a base name, looked up in the tool root")
}

// splitFamily returns the first row whose conditions differ from those of an earlier row of its family.
func splitFamily(rows []Row) (index int, reason string) {
	first := map[string]Row{}
	for i, row := range rows {
		if row.Family == "" {
			continue
		}
		other, seen := first[row.Family]
		if !seen {
			first[row.Family] = row
		} else if conditions(row) != conditions(other) {
			return i, fmt.Sprintf("family %q has one outcome, but this row's outcome or conditions differ from those of row %q", row.Family, other.Name)
		}
	}
	return 0, ""
}

func conditions(r Row) string {
	return fmt.Sprint(r.Outcome, r.Version, r.Package, r.SameWord, r.SameOrder, r.Libc, r.Identity, r.Needs, r.Near)
}
