package cli

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
)

// sandboxFlags are the options that run and shell share.
type sandboxFlags struct {
	keep, tools, policy, fidelity, net, spool string
	workdir, hostname, qemu, report           string
	env, binds                                list
	timeout                                   time.Duration
	wait, json, verbose, quiet, offline       bool
	keeps                                     string // values of keep
}

// list is an option that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

// Set adds a value.
func (l *list) Set(v string) error {
	*l = append(*l, v)
	return nil
}

// add declares the options; keeps are the values of --keep.
func (s *sandboxFlags) add(f *flag.FlagSet, keep, keeps string) {
	s.keeps = keeps
	f.StringVar(&s.keep, "keep", keep, "when to keep the changes: `"+keeps+"`")
	addTools(f, &s.tools, &s.offline)
	f.StringVar(&s.policy, "policy", "", "rows on top of the built-in policy, TOML: `FILE`")
	f.StringVar(&s.fidelity, "fidelity", "exact", "near ignores versions where a row allows it: `exact|near`")
	f.StringVar(&s.net, "net", "none", "network: `none|host`")
	f.StringVar(&s.spool, "spool", "auto", "where changes lie until they are kept: `auto|memory|disk`")
	f.StringVar(&s.workdir, "workdir", "/", "working directory inside: `DIR`")
	f.StringVar(&s.hostname, "hostname", "", "host name inside: `NAME`")
	f.StringVar(&s.qemu, "qemu", "", "emulator to use, else qemu-ARCH-static or qemu-ARCH on PATH: `FILE`")
	f.StringVar(&s.report, "report", "", "write a report as JSON: `FILE`")
	f.Var(&s.env, "env", "set an environment variable inside; repeatable: `K=V`")
	f.Var(&s.binds, "bind", "show a file or directory of this machine inside; repeatable: `SRC:DST[:ro]`")
	f.DurationVar(&s.timeout, "timeout", 0, "kill the run after a time such as 90s or 5m: `TIME`")
	f.BoolVar(&s.wait, "wait", false, "wait while another run uses ROOT")
	f.BoolVar(&s.json, "json", false, "messages and summary as JSON lines on standard error")
	f.BoolVar(&s.verbose, "v", false, "print a summary at the end")
	f.BoolVar(&s.quiet, "q", false, "no warnings, no progress")
}

// addTools declares the options about native programs, which explain has too.
func addTools(f *flag.FlagSet, tools *string, offline *bool) {
	f.StringVar(tools, "tools", cmp.Or(os.Getenv("CROSSROOT_TOOLS"), session.ToolsAuto), "where native programs come from: `host|twin|auto|DIR`")
	f.BoolVar(offline, "offline", false, "a twin is made of what was downloaded before")
}

// options checks the values.
func (s *sandboxFlags) options() (session.Options, error) {
	o := session.Options{
		Env: s.env, Workdir: s.workdir, Hostname: s.hostname, Tools: s.tools, Offline: s.offline, Policy: s.policy, Qemu: s.qemu,
		Timeout: s.timeout, Wait: s.wait,
	}
	for _, c := range []struct{ name, value, allowed string }{
		{"keep", s.keep, s.keeps}, {"fidelity", s.fidelity, "exact|near"},
		{"net", s.net, "none|host"}, {"spool", s.spool, "auto|memory|disk"},
	} {
		if !slices.Contains(strings.Split(c.allowed, "|"), c.value) {
			return o, usageError{fmt.Sprintf("--%s %s: one of %s", c.name, c.value, strings.ReplaceAll(c.allowed, "|", ", "))}
		}
	}
	o.Keep, o.Fidelity, o.Spool = session.Keep(s.keep), policy.Fidelity(s.fidelity), session.Spool(s.spool)
	o.NetHost = s.net == "host"
	if s.tools == "" {
		return o, usageError{"--tools: host, twin, auto or a directory"}
	}
	if !strings.HasPrefix(s.workdir, "/") {
		return o, usageError{fmt.Sprintf("--workdir %s: an absolute path inside ROOT", s.workdir)}
	}
	if len(s.hostname) > 64 {
		return o, usageError{"--hostname: at most 64 bytes"}
	}
	if s.timeout < 0 {
		return o, usageError{"--timeout: not negative"}
	}
	for _, e := range s.env {
		if key, _, ok := strings.Cut(e, "="); !ok || key == "" || strings.Contains(e, "\x00") {
			return o, usageError{fmt.Sprintf("--env %s: write NAME=VALUE", e)}
		}
	}
	for _, b := range s.binds {
		bind, err := parseBind(b)
		if err != nil {
			return o, err
		}
		o.Binds = append(o.Binds, bind)
	}
	return o, nil
}

// parseBind reads SRC:DST[:ro]; a backslash before a colon keeps it part of a name.
func parseBind(text string) (session.Bind, error) {
	var parts []string
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == ':' || text[i+1] == '\\'):
			i++
			part.WriteByte(text[i])
		case text[i] == ':':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(text[i])
		}
	}
	parts = append(parts, part.String())
	bad := usageError{fmt.Sprintf("--bind %s: write SRC:DST or SRC:DST:ro, DST absolute", text)}
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || !strings.HasPrefix(parts[1], "/") {
		return session.Bind{}, bad
	}
	if len(parts) == 3 && parts[2] != "ro" && parts[2] != "rw" {
		return session.Bind{}, bad
	}
	return session.Bind{Source: parts[0], Target: parts[1], ReadOnly: len(parts) == 3 && parts[2] == "ro"}, nil
}

func runVerb(ctx context.Context, e *env, args []string) (int, error) {
	var s sandboxFlags
	f := flags(e, "run")
	s.add(f, "success", "success|always|never")
	rest, err := parse(e, f, args)
	if err != nil {
		return 0, err
	}
	if len(rest) == 0 {
		return 0, usageError{"no ROOT given"}
	}
	root, command := rest[0], rest[1:]
	switch {
	case len(command) > 0 && command[0] == "--":
		command = command[1:]
	case len(command) > 0 && strings.HasPrefix(command[0], "-"):
		return 0, usageError{fmt.Sprintf("options come before ROOT: crossroot run %s … %s COMMAND", command[0], root)}
	}
	if len(command) == 0 {
		return 0, usageError{fmt.Sprintf("no COMMAND to run in %s", root)}
	}
	o, err := s.options()
	if err != nil {
		return 0, err
	}
	o.Command = command
	return enter(ctx, e, &s, root, o)
}

// enter runs the command in the root and prints what there is to say.
func enter(ctx context.Context, e *env, s *sandboxFlags, name string, o session.Options) (int, error) {
	out := newPrinter(e, s.json, s.quiet, s.verbose)
	root, err := session.OpenRoot(name)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	if o.Dirs, err = session.UserDirs(); err != nil {
		return 0, err
	}
	report, err := createReport(s.report)
	if err != nil {
		return 0, err
	}
	o.Warn, o.Progress = out.warn, out.progress
	o.Stdio = [3]*os.File{e.stdin, e.stdout, e.stderr}
	if o.Keep == session.KeepAsk {
		o.Ask = func(r *protocol.Report) bool { return ask(e, name, r) }
	}
	result, err := session.Run(ctx, root, o)
	out.endProgress()
	if werr := report.write(root, o.Command, result, err); err == nil {
		err = werr
	}
	if err != nil {
		return 0, err
	}
	out.summary(name, result)
	return exitCode(e, out, o, result), nil
}

// exitCode is the command's own code, or why there is none.
func exitCode(e *env, out *printer, o session.Options, r *session.Result) int {
	switch {
	case r.TimedOut:
		out.fail("timeout", fmt.Sprintf("%s ran longer than %s and was killed: ROOT is %s", o.Command[0], o.Timeout, kept(r)))
		return ExitTimeout
	case r.Killed:
		out.fail("killed", fmt.Sprintf("%s was killed: ROOT is %s", o.Command[0], kept(r)))
	case r.Exit.Exec != "":
		out.fail("exec", clean(r.Exit.Exec))
		return r.Exit.Code
	}
	return r.Exit.Code
}

func kept(r *session.Result) string {
	if r.Committed {
		return "changed"
	}
	return "unchanged"
}
