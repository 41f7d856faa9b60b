// Package cli is the command line: one file per verb (parse, call, print), the texts of errors with their way out, and
// the exit codes, in one table. It promises messages on standard error only, colours only on a terminal, and quiet in
// a pipe; it knows nothing of how a verb does its work.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

// Exit codes. Codes of the command itself pass through; 128+N is a command killed by signal N.
const (
	ExitOK        = 0
	ExitProblem   = 1   // doctor, explain: found something wrong
	ExitTimeout   = 124 // --timeout ran out
	ExitFailed    = 125 // crossroot itself failed, usage included; ROOT is unchanged
	ExitCannotRun = 126 // the command is not executable, or denied
	ExitNotFound  = 127 // the command was not found
)

// Version is what `crossroot version` prints; the release build sets it.
var Version = "0.1.0-dev"

// env is what a verb works with.
type env struct {
	stdin, stdout, stderr *os.File
}

// verb is one command of crossroot.
type verb struct {
	name, usage, summary string
	run                  func(ctx context.Context, e *env, args []string) (int, error)
}

func verbs() []verb {
	return []verb{
		{"run", "run [options] ROOT [--] COMMAND [ARG…]", "run a command inside ROOT", runVerb},
		{"shell", "shell [options] ROOT", "an interactive shell inside ROOT", shellVerb},
		{"wrap", "wrap [options] [--] COMMAND [ARG…]", "run a builder; what is foreign in its chroots runs fast", wrapVerb},
		{"explain", "explain [options] ROOT PATH [APPLET]", "what would run for an executable or script, and why", explainVerb},
		{"verify", "verify [options] ROOT [--] COMMAND [ARG…]", "run twice, dispatched and emulated, and compare", verifyVerb},
		{"diff", "diff [options] DIR1 [DIR2]", "compare two trees, or a root with what its packages installed", diffVerb},
		{"tools", "tools [list|build|gc|twin] [options] [ROOT]", "the tool root: what is in it, and where it comes from", toolsVerb},
		{"doctor", "doctor [options] [ROOT]", "what this machine can do, and what in ROOT will cause trouble", doctorVerb},
		{"demo", "demo [options]", "the main job on an embedded example, nothing to download", demoVerb},
		{"version", "version", "print the version", versionVerb},
	}
}

// usageError is a command line that can't be understood; its text says how to write it.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// Main runs the command line and returns the exit code.
func Main(args []string, stdin, stdout, stderr *os.File) int {
	e := &env{stdin, stdout, stderr}
	if len(args) == 0 {
		printUsage(stderr)
		return ExitFailed
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(rest) == 1 {
			name, rest = rest[0], []string{"--help"}
			break
		}
		printUsage(stdout)
		return ExitOK
	case "--version", "-version":
		name = "version"
	}
	for _, v := range verbs() {
		if v.name != name {
			continue
		}
		code, err := v.run(context.Background(), e, rest)
		if errors.Is(err, flag.ErrHelp) {
			return ExitOK
		}
		if err != nil {
			report(e, v, rest, err)
			return ExitFailed
		}
		return code
	}
	fmt.Fprintf(stderr, "crossroot: no command %q: one of %s (see crossroot help)\n", name, strings.Join(verbNames(), ", "))
	return ExitFailed
}

func verbNames() []string {
	var names []string
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	return names
}

func printUsage(w io.Writer) {
	fmt.Fprint(w, "crossroot runs commands inside a root file system built for another CPU, at native speed\nand without risk to this machine.\n\nUsage:\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  crossroot %-42s %s\n", v.usage, v.summary)
	}
	fmt.Fprint(w, "\ncrossroot help COMMAND lists the options of one; the manual is crossroot(1).\n")
}

// flags makes a flag set that prints the verb's own help and leaves errors to us.
func flags(e *env, name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return f
}

// parse reads the options of a verb; what follows them is returned. "--help" prints the options.
func parse(e *env, f *flag.FlagSet, args []string) ([]string, error) {
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		printOptions(e.stdout, f)
		return nil, err
	}
	if err != nil {
		return nil, usageError{optionError(err)}
	}
	return f.Args(), nil
}

// optionError words the flag package's errors as the options are written here.
func optionError(err error) string {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: "); ok {
		if len(name) == 2 { // -v
			return "there is no option " + name
		}
		return "there is no option -" + name
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: "); ok {
		return "option -" + name + " needs a value"
	}
	if rest, ok := strings.CutPrefix(text, "invalid value "); ok {
		if value, rest, ok := strings.Cut(rest, " for flag "); ok {
			name, _, _ := strings.Cut(rest, ":")
			return fmt.Sprintf("-%s %s: a time such as 90s or 5m is needed", name, strings.Trim(value, `"`))
		}
	}
	return text
}

func printOptions(w io.Writer, f *flag.FlagSet) {
	for _, v := range verbs() {
		if v.name == f.Name() {
			fmt.Fprintf(w, "Usage: crossroot %s\n%s\n", v.usage, strings.ToUpper(v.summary[:1])+v.summary[1:]+".")
		}
	}
	var lines []string
	f.VisitAll(func(o *flag.Flag) {
		value, text := flag.UnquoteUsage(o)
		name := "--" + o.Name
		if len(o.Name) == 1 {
			name = "-" + o.Name
		}
		if value != "" {
			name += " " + value
			text = strings.TrimSuffix(text, ": "+value)
		}
		if o.DefValue != "" && o.DefValue != "false" && o.DefValue != "0s" {
			text += fmt.Sprintf(" (default %s)", o.DefValue)
		}
		lines = append(lines, fmt.Sprintf("  %-31s %s", name, text))
	})
	if len(lines) > 0 {
		sort.Strings(lines)
		fmt.Fprintf(w, "\nOptions:\n%s\n", strings.Join(lines, "\n"))
	}
}

func versionVerb(_ context.Context, e *env, args []string) (int, error) {
	rest, err := parse(e, flags(e, "version"), args)
	if err != nil {
		return 0, err
	}
	if len(rest) > 0 {
		return 0, usageError{"takes no arguments"}
	}
	fmt.Fprintln(e.stdout, "crossroot", Version)
	return ExitOK, nil
}
