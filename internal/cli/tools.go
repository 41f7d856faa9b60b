package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/debian/repo"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/toolroot"
	"github.com/crossroot/crossroot/internal/twin"
)

// toolsFlags are the options of tools.
type toolsFlags struct {
	source, target       string
	json, verbose, force bool
	twin                 twinFlags
}

func toolsVerb(ctx context.Context, e *env, args []string) (int, error) {
	action := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		action, args = args[0], args[1:]
	}
	var t toolsFlags
	f := flags(e, "tools")
	f.StringVar(&t.source, "tools", "host", "where native programs come from: `host|DIR`")
	f.StringVar(&t.target, "arch", "armhf", "the target architecture, whose name package managers get: `ARCH`")
	f.BoolVar(&t.json, "json", false, "print as JSON")
	f.BoolVar(&t.verbose, "v", false, "list: every file, and what was rewritten in it")
	f.BoolVar(&t.force, "force", false, "build: anew, even if nothing changed")
	t.twin.add(f)
	rest, err := parse(e, f, args)
	if err != nil {
		return 0, err
	}
	if action == "" && len(rest) > 0 { // options may come first
		action, rest = rest[0], rest[1:]
	}
	if action == "" {
		action = "list"
	}
	if !slices.Contains([]string{"list", "build", "twin", "gc"}, action) {
		return 0, usageError{fmt.Sprintf("no action %q: one of list, build, twin, gc", action)}
	}
	if action == "twin" {
		return twinTools(ctx, e, t, rest)
	}
	if len(rest) > 0 {
		return 0, usageError{fmt.Sprintf("%s takes no argument %q", action, rest[0])}
	}
	dirs, err := session.UserDirs()
	if err != nil {
		return 0, err
	}
	if action == "gc" {
		return gcTools(ctx, e, t, dirs)
	}
	return listTools(ctx, e, t, dirs, action == "build")
}

func listTools(ctx context.Context, e *env, t toolsFlags, dirs session.Dirs, build bool) (int, error) {
	target, ok := arch.Lookup(t.target)
	if !ok {
		return 0, usageError{fmt.Sprintf("--arch %s: not an architecture that crossroot knows", t.target)}
	}
	source := t.source
	if source == "host" {
		source = "/"
	}
	out := newPrinter(e, t.json, false, false)
	root, err := toolroot.Open(ctx, toolroot.Source{Root: source}, toolroot.Options{
		Cache: dirs.Cache, Target: target, Progress: out.progress, Rebuild: build && t.force,
	})
	out.endProgress()
	if err != nil {
		return 0, &session.Error{Kind: session.KindTools, Path: source, Err: err}
	}
	defer root.Close()
	x := root.Index
	if t.json {
		return ExitOK, json.NewEncoder(e.stdout).Encode(x)
	}
	if !build {
		if err := printTools(e, t, root); err != nil {
			return 0, err
		}
	}
	fmt.Fprintf(e.stdout, "%d programs, %d files, %.1f MB, made from %s for %s; in %s\n",
		len(x.Tools), x.Files, float64(x.Bytes)/1e6, x.Source, target.Name, root.Base)
	return ExitOK, nil
}

func printTools(e *env, t toolsFlags, root *toolroot.Root) error {
	if t.verbose {
		files, err := root.Files()
		if err != nil {
			return err
		}
		for _, f := range files {
			from := "from " + clean(f.Source) + "  " + clean(f.Package) + " " + clean(f.Version)
			if f.Source == "" {
				from = "made by crossroot"
			}
			fmt.Fprintf(e.stdout, "/.cr/%s  %s\n", clean(f.Path), from)
			for _, c := range f.Rewrites {
				fmt.Fprintf(e.stdout, "    at %d: %s → %s\n", c.Offset, clean(c.Old), clean(c.New))
			}
		}
		return nil
	}
	tools := append([]toolroot.Tool(nil), root.Index.Tools...)
	sort.Slice(tools, func(i, j int) bool { return tools[i].Source < tools[j].Source })
	for _, tool := range tools {
		state := ""
		if tool.Unavailable != "" {
			state = "  (not used: " + tool.Unavailable + ")"
		}
		fmt.Fprintf(e.stdout, "%-34s %-22s %s%s\n", clean(tool.Source), clean(tool.Package), clean(tool.PackageVersion), clean(state))
	}
	for _, s := range root.Index.Skipped {
		fmt.Fprintf(e.stdout, "%-34s left out: %s\n", clean(s.Source), clean(s.Reason))
	}
	return nil
}

// unusedTime is how long a download is kept that nobody asks for.
const unusedTime = 30 * 24 * time.Hour

func gcTools(ctx context.Context, e *env, t toolsFlags, dirs session.Dirs) (int, error) {
	twins, err := twin.GC(ctx, dirs.Cache) // first: a tool root whose source is gone goes too
	gone := []toolroot.Cached{}
	if err == nil {
		var some []toolroot.Cached
		some, err = toolroot.GC(ctx, dirs.Cache)
		gone = append(gone, some...)
	}
	var downloads int64
	if err == nil {
		downloads, err = repo.GC(ctx, dirs.Cache, time.Now().Add(-unusedTime))
	}
	if err != nil {
		return 0, &session.Error{Kind: session.KindTools, Path: dirs.Cache, Err: err}
	}
	if t.json {
		return ExitOK, json.NewEncoder(e.stdout).Encode(map[string]any{"tool_roots": gone, "twins": twins, "downloads": downloads})
	}
	var bytes int64
	for _, c := range gone {
		bytes += c.Bytes
	}
	fmt.Fprintf(e.stdout, "%d tool roots deleted, %.1f MB; %d twins, %d unpacked packages, %.1f MB; %.1f MB of downloads\n",
		len(gone), float64(bytes)/1e6, twins.Twins, twins.Packages, float64(twins.Bytes)/1e6, float64(downloads)/1e6)
	return ExitOK, nil
}
