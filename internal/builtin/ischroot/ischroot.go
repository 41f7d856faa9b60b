// Package ischroot answers Debian's ischroot: inside crossroot the answer is yes, so that maintainer scripts leave
// the services of the machine alone. The original looks at /proc/1/root and would say that it does not know.
//
// It promises ischroot(1)'s options and exit statuses. It must not know where it runs.
package ischroot

import (
	"fmt"
	"io"
)

const usage = "Usage: ischroot [-f|--default-false] [-t|--default-true] [--help] [--version]\n"

// Main returns the exit status for args, of which args[0] is the program's name: 0 for yes, 1 for wrong usage.
func Main(args []string, stdout, stderr io.Writer) int {
	for _, arg := range args[min(1, len(args)):] {
		switch arg {
		case "-f", "--default-false", "-t", "--default-true", "-ft", "-tf", "--":
		case "-h", "--help":
			fmt.Fprint(stdout, usage)
			return 0
		case "-V", "--version":
			fmt.Fprintln(stdout, "ischroot (crossroot)")
			return 0
		default:
			fmt.Fprintf(stderr, "ischroot: unknown option %q\n%s", arg, usage)
			return 1
		}
	}
	return 0
}
