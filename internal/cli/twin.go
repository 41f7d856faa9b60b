package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"

	"github.com/crossroot/crossroot/internal/debian/repo"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/twin"
)

// twinFlags are the options of tools twin.
type twinFlags struct {
	from                                    string
	keyrings                                list
	offline, unsigned, expired, partial, up bool
}

func (t *twinFlags) add(f *flag.FlagSet) {
	f.StringVar(&t.from, "from", "", "twin: whose apt sources to use, else the root's and then this machine's: `root|machine|FILE`")
	f.Var(&t.keyrings, "keyring", "twin: believe these keys only; repeatable: `FILE`")
	f.BoolVar(&t.up, "refresh", false, "twin: ask again for versions that weren't there")
	f.BoolVar(&t.offline, "offline", false, "twin: only what was downloaded before")
	f.BoolVar(&t.unsigned, "allow-unsigned", false, "twin: packages that no key vouches for")
	f.BoolVar(&t.expired, "allow-expired", false, "twin: package lists that are out of date")
	f.BoolVar(&t.partial, "allow-partial", false, "twin: go on without suites and components that can't be had")
}

func (t *twinFlags) options(dirs session.Dirs, out *printer) twin.Options {
	return twin.Options{
		Cache: dirs.Cache, Progress: out.progress, From: t.from, Refresh: t.up, Check: true,
		Config: repo.Config{Keyrings: t.keyrings, Offline: t.offline, AllowUnsigned: t.unsigned, AllowExpired: t.expired, AllowPartial: t.partial},
	}
}

// twinReport is what tools twin --json prints.
type twinReport struct {
	Dir         string            `json:"dir"`
	From        string            `json:"from"`
	Packages    int               `json:"packages"`
	LeftOut     int               `json:"left_out"`
	Unpacked    int               `json:"unpacked"`
	Differences []twin.Difference `json:"differences"`
	Warnings    []string          `json:"warnings,omitempty"`
}

// twinTools builds or refreshes the twin of a root.
func twinTools(ctx context.Context, e *env, t toolsFlags, args []string) (int, error) {
	if len(args) != 1 {
		return 0, usageError{"twin: give one ROOT"}
	}
	root, err := session.OpenRoot(args[0])
	if err != nil {
		return 0, err
	}
	defer root.Close()
	dirs, err := session.UserDirs()
	if err != nil {
		return 0, err
	}
	out := newPrinter(e, t.json, false, false)
	made, err := root.OpenTwin(ctx, t.twin.options(dirs, out))
	out.endProgress()
	if err != nil {
		return 0, err
	}
	defer made.Close()
	for _, w := range made.Warnings {
		out.warn(w)
	}
	if t.json {
		return ExitOK, json.NewEncoder(e.stdout).Encode(twinReport{
			made.Dir, made.From, made.Packages, made.LeftOut, made.Unpacked, append([]twin.Difference{}, made.Differences...), made.Warnings,
		})
	}
	printTwin(e, t, made)
	return ExitOK, nil
}

func printTwin(e *env, t toolsFlags, made *twin.Twin) {
	missing := 0
	for _, d := range made.Differences {
		switch {
		case d.Twin == "":
			missing++
			fmt.Fprintf(e.stdout, "%s %s: not to be had for this machine's CPU\n", clean(d.Package), clean(d.Target))
		default:
			fmt.Fprintf(e.stdout, "%s %s: %s instead; programs that need the same version are emulated\n", clean(d.Package), clean(d.Target), clean(d.Twin))
		}
	}
	fmt.Fprintf(e.stdout, "%d packages, %d of another version, %d missing, %d left out as nothing in them is run; %d unpacked now, from %s; in %s\n",
		made.Packages, len(made.Differences)-missing, missing, made.LeftOut, made.Unpacked, made.From, made.Dir)
}
