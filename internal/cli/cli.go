package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/crossroot/crossroot/internal/session"
)

func Main(args []string, stdin, stdout, stderr *os.File) int {
	if args[0] != "run" {
		return 2
	}
	args = args[1:]
	keep := session.KeepNever
	if args[0] == "-k" {
		keep = session.KeepSuccess
		args = args[1:]
	}
	r, err := session.OpenRoot(args[0])
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 125
	}
	d, err := session.UserDirs()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 125
	}
	res, err := session.Run(context.Background(), r, session.Options{Command: args[1:], Dirs: d, Keep: keep, Warn: func(s string) { fmt.Fprintln(stderr, "warning:", s) }})
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 125
	}
	if os.Getenv("V") != "" {
		for _, p := range res.Report.Programs {
			fmt.Fprintf(stderr, "%5d %s %s %s (%s)\n", p.Count, p.Outcome, p.Path, p.Applet, p.Reason)
		}
		for _, t := range res.Report.Times {
			fmt.Fprintf(stderr, "%s %.1f ms\n", t.Phase, float64(t.Micro)/1000)
		}
		fmt.Fprintln(stderr, len(res.Report.Changes), "changes", res.Report.Warnings, res.Duration, res.Exit)
	}
	return res.Exit.Code
}

var _ io.Reader
