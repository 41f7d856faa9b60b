package roots

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strings"
	"syscall"

	"github.com/crossroot/crossroot/internal/kernel/userns"
)

// command runs one program, perhaps in new namespaces.
type command struct {
	args   []string
	name   string   // for the error; empty: args
	env    []string // the whole environment
	flags  uintptr  // CLONE_NEW…; with CLONE_NEWUSER ids are mapped by ids
	ids    userns.Map
	stdout io.Writer // nil: kept for the error
}

// run waits for the command to end. Where the context or the calling process ends first, the command is killed, with
// all that it started if it has a pid namespace. The error ends with the last lines of output.
func (c command) run(ctx context.Context) error {
	runtime.LockOSThread() // the parent-death signal comes when this thread ends
	defer runtime.UnlockOSThread()
	// The program starts when its ids are mapped: root's capabilities come with an execve by id 0.
	args := append([]string{"-c", `read -r _ <&3; exec 3<&-; exec "$@"`, "sh"}, c.args...)
	cmd := exec.CommandContext(ctx, "/bin/sh", args...)
	var tail bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, io.Writer(&tail), &tail
	if c.stdout != nil {
		cmd.Stdout = c.stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: c.flags, Pdeathsig: syscall.SIGKILL}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	cmd.ExtraFiles = []*os.File{r}
	err = cmd.Start()
	r.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", c.args[0], err)
	}
	if c.flags&syscall.CLONE_NEWUSER != 0 {
		if err := c.ids.Write(cmd.Process.Pid); err != nil {
			cmd.Process.Kill()
			cmd.Wait()
			return err
		}
	}
	fmt.Fprintln(w)
	if err := cmd.Wait(); err != nil {
		if c.name == "" {
			c.name = strings.Join(c.args, " ")
		}
		return fmt.Errorf("run %s: %w\n%s", c.name, err, lastLines(tail.String(), 20))
	}
	return nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// identity maps every id to itself.
var identity = userns.Map{UIDs: []userns.Range{{Size: 1<<32 - 1}}, GIDs: []userns.Range{{Size: 1<<32 - 1}}}

// ids returns the map under which a root's files have their owners: identity for real root, the subordinate range for
// a user.
func ids() (userns.Map, error) {
	if os.Getuid() == 0 {
		return identity, nil
	}
	me, err := user.Current()
	if err != nil {
		return userns.Map{}, fmt.Errorf("find user: %w", err)
	}
	subuid, err1 := os.ReadFile("/etc/subuid")
	subgid, err2 := os.ReadFile("/etc/subgid")
	if err := errors.Join(err1, err2); err != nil {
		return userns.Map{}, fmt.Errorf("read subordinate ids: %w", err)
	}
	return userns.ForUser(me.Username, os.Getuid(), os.Getgid(), bytes.NewReader(subuid), bytes.NewReader(subgid))
}

// Within runs a host's command where a root's files have their owners: as it is for real root, in a user namespace
// with subordinate ids for a user. With stdout nil the output is only seen in the error.
func Within(ctx context.Context, stdout io.Writer, args ...string) error {
	c := command{args: args, env: os.Environ(), stdout: stdout}
	if os.Getuid() == 0 {
		return c.run(ctx)
	}
	var err error
	if c.ids, err = ids(); err != nil {
		return err
	}
	c.flags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	return c.run(ctx)
}
