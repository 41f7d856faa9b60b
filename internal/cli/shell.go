package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"golang.org/x/term"

	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
)

func shellVerb(ctx context.Context, e *env, args []string) (int, error) {
	var s sandboxFlags
	f := flags(e, "shell")
	keep := "success"
	if term.IsTerminal(int(e.stdin.Fd())) {
		keep = "ask"
	}
	s.add(f, keep, "success|always|never|ask")
	rest, err := parse(e, f, args)
	if err != nil {
		return 0, err
	}
	switch {
	case len(rest) == 0:
		return 0, usageError{"no ROOT given"}
	case len(rest) > 1 && strings.HasPrefix(rest[1], "-"):
		return 0, usageError{fmt.Sprintf("options come before ROOT: crossroot shell %s … %s", rest[1], rest[0])}
	case len(rest) > 1:
		return 0, usageError{fmt.Sprintf("takes no command: crossroot run %s COMMAND", rest[0])}
	}
	o, err := s.options()
	if err != nil {
		return 0, err
	}
	shell, err := loginShell(rest[0])
	if err != nil {
		return 0, err
	}
	o.Command = []string{shell}
	o.Env = append([]string{"SHELL=" + shell}, o.Env...)
	return enter(ctx, e, &s, rest[0], o)
}

// loginShell is root's shell in the target's own /etc/passwd, /bin/sh where there is none.
func loginShell(name string) (string, error) {
	root, err := session.OpenRoot(name)
	if err != nil {
		return "", err
	}
	defer root.Close()
	const limit = 1 << 20
	text, err := fd.ReadFile(root.Dir, "etc/passwd", limit)
	if err == nil {
		for line := range strings.Lines(string(text)) {
			f := strings.Split(strings.TrimSpace(line), ":")
			if len(f) == 7 && f[0] == "root" && strings.HasPrefix(f[6], "/") {
				if _, err := fd.Open(root.Dir, f[6], 0, 0); err == nil {
					return f[6], nil
				}
			}
		}
	}
	return "/bin/sh", nil
}

// ask shows what changed and asks whether to keep it.
func ask(e *env, root string, r *protocol.Report) bool {
	kinds := map[string]int{}
	for _, c := range r.Changes {
		kinds[c.Kind]++
	}
	what, them := "paths", "them"
	if len(r.Changes) == 1 {
		what, them = "path", "it"
	}
	fmt.Fprintf(e.stderr, "%d %s changed (%d added, %d changed, %d deleted, %d in their metadata):\n",
		len(r.Changes), what, kinds["added"], kinds["changed"], kinds["deleted"], kinds["metadata"])
	const most = 15
	for i, c := range r.Changes {
		if i == most {
			fmt.Fprintf(e.stderr, "  … and %d more\n", len(r.Changes)-most)
			break
		}
		fmt.Fprintf(e.stderr, "  %-8s %s\n", c.Kind, clean(c.Path))
	}
	fmt.Fprintf(e.stderr, "Keep %s in %s? [y/N] ", them, clean(root))
	answer, err := bufio.NewReader(e.stdin).ReadString('\n')
	if err != nil && answer == "" {
		fmt.Fprintln(e.stderr)
		return false
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
