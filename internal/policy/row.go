package policy

import (
	"path"
	"slices"
	"strings"
)

// Outcome is what dispatch does with one execve of a foreign executable.
type Outcome string

// The five outcomes.
const (
	Native  Outcome = "native"  // a program of the tool root runs; for a script: it runs as its interpreter's row says
	Emulate Outcome = "emulate" // the target's own file runs under the emulator
	Builtin Outcome = "builtin" // crossroot does the work itself
	Stub    Outcome = "stub"    // nothing happens, the exit status is the row's (0), and the report says so
	Deny    Outcome = "deny"    // nothing happens, the exit status is 126, and the report says so
)

// Fidelity is how strictly conditions are applied.
type Fidelity string

// Exact applies every condition. Near lets rows marked near ignore some of them.
const (
	Exact Fidelity = "exact"
	Near  Fidelity = "near"
)

// Row is one [[row]] of a policy: which programs it names, what becomes of them, under which
// conditions, and why. The TOML keys are described in docs/policy.md.
type Row struct {
	Name     string   `toml:"name"`     // shown in decisions and reports; default: the first program
	Programs []string `toml:"programs"` // canonical paths, or bare names; see [Canonical]
	Script   bool     `toml:"script"`   // the row names scripts, not ELF executables
	Applets  []string `toml:"applets"`  // the row holds for these applets of a multi-call executable only

	Multicall   bool `toml:"multicall"`   // decide for each applet
	Interpreter bool `toml:"interpreter"` // its first argument may be a script that has a row

	Outcome Outcome `toml:"outcome"`
	Builtin string  `toml:"builtin"` // name of the builtin
	Exit    int     `toml:"exit"`    // exit status of a stub (0) or a denial (126)
	Message string  `toml:"message"` // one line for standard error when stubbed or denied

	Tool           string   `toml:"tool"`            // base name in the tool root where it differs from the program's
	Version        string   `toml:"version"`         // "any", "series", "upstream" or "full": what must be equal on both sides
	VersionPattern string   `toml:"version-pattern"` // RE2 with one group, matched against each string of the ELF file
	Package        string   `toml:"package"`         // Debian package whose version is the evidence
	Near           bool     `toml:"near"`            // near fidelity may ignore version, libc and a shown identity
	SameWord       bool     `toml:"same-word"`       // word size must be equal on target and host
	SameOrder      bool     `toml:"same-order"`      // byte order must be equal on target and host
	Libc           string   `toml:"libc"`            // "" any, "same": same family of C library on both sides
	Identity       string   `toml:"identity"`        // "shown" or "decides": it has its CPU's name compiled in, the tool must bear the target's
	Needs          []string `toml:"needs"`           // what the tool root must have for this target: "nss", "pam", "gconv"
	Family         string   `toml:"family"`          // programs that share state on disk have one outcome

	Valued []string `toml:"valued"` // options whose value is the next word, for Verb and Operands of the cases
	Cases  []Case   `toml:"case"`   // outcomes that depend on the arguments; the first match wins

	Reason string `toml:"reason"`
	Source string `toml:"source"`
}

// Case is an outcome for certain arguments. All the conditions that are given must hold; see [Pick]
// for how they are compared.
type Case struct {
	Called     []string `toml:"called"`      // argv[0]'s base name is one of these
	Verb       []string `toml:"verb"`        // the first operand is one of these
	Args       []string `toml:"args"`        // each matches a word, in this order, with any words between
	NoOperands bool     `toml:"no-operands"` // there is no operand at all
	OtherWord  bool     `toml:"other-word"`  // only where target and host differ in word size
	OtherOrder bool     `toml:"other-order"` // only where target and host differ in byte order
	Outcome    Outcome  `toml:"outcome"`
	Builtin    string   `toml:"builtin"`
	Exit       int      `toml:"exit"`
	Reason     string   `toml:"reason"` // default: the row's
	Source     string   `toml:"source"`
}

// ToolName is the base name under which the tool root has the program that lies at path in the target.
func (r Row) ToolName(programPath string) string {
	if r.Tool != "" {
		return r.Tool
	}
	return path.Base(programPath)
}

func (r Row) holdsFor(applet string) bool {
	return len(r.Applets) == 0 || applet != "" && slices.ContainsFunc(r.Applets, func(a string) bool { return glob(a, applet) })
}

// names reports whether the row names the program at the canonical path.
func (r Row) names(canonical string) bool {
	return slices.ContainsFunc(r.Programs, func(program string) bool { return namesPath(program, canonical) })
}

func namesPath(program, canonical string) bool {
	dir, base := path.Split(canonical)
	wantDir, wantBase := path.Split(program)
	if !glob(wantBase, base) {
		return false
	}
	before, after, varies := cutPlaceholder(wantDir)
	switch {
	case wantDir == "":
		return dir == "/usr/bin/" || dir == "/usr/sbin/"
	case varies && strings.HasPrefix(dir, before) && strings.HasSuffix(dir, after) && len(dir) > len(before)+len(after):
		return !strings.Contains(dir[len(before):len(dir)-len(after)], "/")
	}
	return dir == wantDir
}

// Triplet is the word that rows write for the directory named after the target's triplet.
const Triplet = "<triplet>"

// cutPlaceholder cuts a row's directory at a word in angle brackets, which stands for any one directory: the target's
// triplet, a version.
func cutPlaceholder(dir string) (before, after string, found bool) {
	before, rest, open := strings.Cut(dir, "<")
	_, after, closed := strings.Cut(rest, ">")
	return before, after, open && closed
}

// Canonical spells a path as rows do: cleaned, and with the directories that a merged /usr replaces
// by symlinks written below /usr ("/bin/sh" is "/usr/bin/sh"), so that one row serves roots of both kinds.
func Canonical(unsafePath string) string {
	clean := path.Clean("/" + unsafePath)
	first, _, deeper := strings.Cut(clean[1:], "/")
	if !deeper {
		return clean
	}
	switch first {
	case "bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32":
		return "/usr" + clean
	}
	return clean
}
