package wrap

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// begin starts a wrap with a process in the root, and waits until it is attached.
func (b *Box) begin() *exec.Cmd {
	b.Helper()
	c := b.command(b.Context(), "wrap", "--", "sh", "-c", "chroot $R sh -c 'sleep 1000; true'")
	b.must(c.Start())
	b.until("a mount point", func() bool {
		_, err := os.Lstat(filepath.Join(b.Root, hidden))
		return err == nil && len(b.below(c.Process.Pid, "sleep")) > 0
	})
	return c
}

func (b *Box) until(what string, done func() bool) {
	b.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("no %s", what)
		}
	}
}

// below lists the processes below one, by the name in their argument list.
func (b *Box) below(pid int, name string) []int {
	var all []int
	files, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for _, child := range strings.Fields(string(text)) {
			n, _ := strconv.Atoi(child)
			line, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if strings.Contains(string(line), name) {
				all = append(all, n)
			}
			all = append(all, b.below(n, name)...)
		}
	}
	return all
}

func alive(pid int) bool { return unix.Kill(pid, 0) == nil }

// A wrap that is killed: its keeper takes everything away, and ends.
func TestKilled(t *testing.T) {
	b := Setup(t)
	c := b.begin()
	sleep := b.below(c.Process.Pid, "sleep")
	b.must(c.Process.Kill())
	_ = c.Wait()
	b.until("end of the builder", func() bool {
		_, err := os.Lstat(filepath.Join(b.Root, hidden))
		return os.IsNotExist(err) && !alive(sleep[len(sleep)-1])
	})
	b.noNotes()
}

// A keeper that is killed with its wrap leaves a mount point; doctor tells, and removes it; so does the next wrap.
func TestKilledKeeper(t *testing.T) {
	b := Setup(t)
	for _, fix := range [][]string{{"doctor", "--fix"}, {"wrap", "--", "true"}} {
		c := b.begin()
		if r := b.Crossroot("doctor"); strings.Contains(r.Out, "leftovers") {
			b.Errorf("what is in use isn't left over: %s", r.Out)
		}
		keeper := b.below(c.Process.Pid, "crossroot-keeper")
		b.must(c.Process.Signal(syscall.SIGSTOP)) // so that it can't tidy up
		b.must(unix.Kill(keeper[0], unix.SIGKILL))
		b.must(c.Process.Kill())
		_ = c.Wait()
		b.until("end of the keeper", func() bool { return !alive(keeper[0]) || zombie(keeper[0]) })
		time.Sleep(100 * time.Millisecond)
		if _, err := os.Lstat(filepath.Join(b.Root, hidden)); err != nil {
			b.Fatal(err)
		}
		if r := b.Crossroot("doctor"); !strings.Contains(r.Out, "a killed wrap left an empty directory .cr in "+b.Root) {
			b.Errorf("%s%s", r.Out, r.Err)
		}
		b.Crossroot(fix...)
		b.gone()
		if r := b.Crossroot("doctor"); strings.Contains(r.Out, "leftovers") {
			b.Errorf("%s", r.Out)
		}
		b.noNotes()
	}
	// A keeper alone: the wrap says so and tidies up.
	c := b.begin()
	keeper := b.below(c.Process.Pid, "crossroot-keeper")
	b.must(unix.Kill(keeper[0], unix.SIGKILL))
	if _ = c.Wait(); c.ProcessState.ExitCode() != failed {
		b.Errorf("%v", c.ProcessState)
	}
	b.gone()
	b.noNotes()
}

func zombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(text), ") Z ")
}

// noNotes fails if there is a file about a wrap.
func (b *Box) noNotes() {
	b.Helper()
	b.until("end of the notes", func() bool {
		left, _ := filepath.Glob(filepath.Join(os.Getenv("CROSSROOT_CACHE"), "wraps", "*"))
		// The keeper of a killed wrap leaves its file to the next one.
		if len(left) > 0 {
			b.Crossroot("wrap", "--", "true")
		}
		return len(left) == 0
	})
}

// Signals to the wrap reach the command.
func TestSignals(t *testing.T) {
	b := Setup(t)
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR1} {
		c := b.command(b.Context(), "wrap", "--", "sh", "-c", `trap 'echo got; exit 9' `+strings.TrimPrefix(unix.SignalName(s), "SIG")+`; : > $D/ready; while :; do sleep 0.1; done`)
		var out strings.Builder
		c.Stdout = &out
		b.must(c.Start())
		b.until("ready", func() bool { return os.Remove(filepath.Join(b.dir, "ready")) == nil })
		time.Sleep(50 * time.Millisecond)
		b.must(c.Process.Signal(s))
		_ = c.Wait()
		if c.ProcessState.ExitCode() != 9 || out.String() != "got\n" {
			b.Errorf("%v: exit %d, %q", s, c.ProcessState.ExitCode(), &out)
		}
	}
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGHUP} {
		c := b.begin()
		b.must(c.Process.Signal(s))
		if _ = c.Wait(); c.ProcessState.ExitCode() != 128+int(s) {
			b.Errorf("%v: exit %d", s, c.ProcessState.ExitCode())
		}
		b.gone()
	}
}
