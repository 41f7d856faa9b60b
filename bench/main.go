// Command bench measures crossroot side by side with what people use instead: a chroot with qemu-user, proot, and the
// same packages of this machine's own CPU in a plain chroot. It makes its own roots (test/roots), builds crossroot,
// interleaves the runs so that a noisy minute hits all of them, and prints medians with ratios.
//
//	go run ./bench [-rounds 3] [-arch armhf] [-only second,2000,warm,twin,packages,wrap] [-check]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/crossroot/crossroot/test/roots"
)

type options struct {
	rounds int
	arch   string
	only   string
	binary string
	check  bool
	list   bool
}

func main() {
	roots.Main()
	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "how often each job runs")
	flag.StringVar(&o.arch, "arch", "armhf", "the foreign root's architecture: armhf or arm64")
	flag.StringVar(&o.only, "only", "", "groups or jobs to run, by parts of their names, with commas")
	flag.StringVar(&o.binary, "crossroot", "", "measure this binary instead of building ./cmd/crossroot")
	flag.BoolVar(&o.check, "check", false, "exit with status 1 when a goal is missed")
	flag.BoolVar(&o.list, "list", false, "list the jobs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	missed, err := bench(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if missed > 0 && o.check {
		os.Exit(1)
	}
}

// bench returns how many goals were missed.
func bench(ctx context.Context, o options) (missed int, err error) {
	all := jobs()
	if o.list {
		for _, j := range all {
			fmt.Printf("%-14s %s\n", j.group, j.name)
		}
		return 0, nil
	}
	chosen := choose(all, o.only)
	if len(chosen) == 0 {
		return 0, fmt.Errorf("no job is called %q: see -list", o.only)
	}
	e, err := prepare(ctx, o)
	if err != nil {
		return 0, err
	}
	defer e.close()
	results := e.measure(ctx, chosen, o.rounds)
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	e.describe(os.Stdout)
	fmt.Println()
	table(os.Stdout, results)
	fmt.Println()
	breakdown(os.Stdout, results)
	fmt.Println()
	return goals(os.Stdout, results), nil
}

// choose keeps the jobs of which a part of "group name" is in only; when that is empty, all but those that take long.
func choose(all []job, only string) []job {
	var chosen []job
	for _, j := range all {
		if only == "" && j.extra {
			continue
		}
		for part := range strings.SplitSeq(only, ",") {
			if strings.Contains(j.group+" "+j.name, part) {
				chosen = append(chosen, j)
				break
			}
		}
	}
	return chosen
}
