package sandbox

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal: what the user sees, and where crossroot runs.
type terminal struct {
	*Box
	master, slave *os.File
	mu            sync.Mutex
	shown         strings.Builder
}

// openTerminal makes a terminal of 100 × 40.
func (b *Box) openTerminal() *terminal {
	b.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	b.must(err)
	b.must(unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	b.must(err)
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	b.must(err)
	b.must(unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100}))
	t := &terminal{Box: b, master: master, slave: slave}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			t.mu.Lock()
			t.shown.Write(buf[:n])
			t.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	b.Cleanup(func() { slave.Close(); master.Close() })
	return t
}

// settings are the terminal's modes.
func (t *terminal) settings() unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(t.slave.Fd()), unix.TCGETS)
	t.must(err)
	return *s
}

// screen is everything that was written to the terminal.
func (t *terminal) screen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shown.String()
}

// await waits until the screen shows a text.
func (t *terminal) await(text string) {
	t.Helper()
	for end := time.Now().Add(limit); !strings.Contains(t.screen(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %q on the terminal:\n%q", text, t.screen())
		}
	}
}

// start runs a program on the terminal, in the foreground of a session of its own.
func (t *terminal) start(name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	c := command(ctx, args...)
	if name != "crossroot" {
		c = exec.CommandContext(ctx, name, args...)
	}
	c.Stdin, c.Stdout, c.Stderr = t.slave, t.slave, t.slave
	c.Env = append(os.Environ(), "R="+t.Root, "TERM=vt100")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	t.must(c.Start())
	return c
}

// run runs crossroot on the terminal and returns its exit code.
func (t *terminal) run(args ...string) int {
	t.Helper()
	c := t.start("crossroot", args...)
	err := c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode()
}

// C33: a script can't put input into the caller's terminal, nor into its own by the calls that are for that.
func TestTerminalInjection(t *testing.T) {
	b := Setup(t)
	b.Probes()
	term := b.openTerminal()
	b.Works("true") // the tool root is there, and its progress not on the terminal
	raw := term.settings()
	raw.Lflag &^= unix.ICANON | unix.ECHO // so that every byte counts at once
	b.must(unix.IoctlSetTermios(int(term.slave.Fd()), unix.TCSETS, &raw))
	if code := term.run("run", "--fidelity", "near", b.Root, "sh", "-c", "/probe terminal; /probe32 terminal; tty; stty size"); code != 0 {
		b.Errorf("exit %d", code)
	}
	term.await("40 100")
	out := strings.ReplaceAll(term.screen(), "\r\n", "\n")
	answers, rest, ok := strings.Cut(out, "/dev/pts/")
	if !ok || rest != "0\n40 100\n" {
		b.Errorf("its own terminal, of the caller's size: %q", out)
	}
	b.refusedWith(answers, "EPERM")
	if n, err := unix.IoctlGetInt(int(term.slave.Fd()), unix.TIOCINQ); err != nil || n != 0 {
		b.Errorf("%d bytes of input in the caller's terminal, %v", n, err)
	}
	// Not even when standard input is no terminal and the others are.
	c := term.start("/bin/sh", "-c", `"$`+envDir+`"/crossroot run --fidelity near "$R" sh -c 'exec <&1; /probe terminal; : < /dev/tty && echo tty' < /dev/null`)
	_ = c.Wait()
	if n, err := unix.IoctlGetInt(int(term.slave.Fd()), unix.TIOCINQ); err != nil || n != 0 {
		b.Errorf("%d bytes of input in the caller's terminal, %v", n, err)
	}
}

// C34: whatever a script does to its terminal, and however it ends, the caller's is as before.
func TestTerminalSettings(t *testing.T) {
	for script, want := range map[string]int{
		"stty raw -echo; printf '\\033[?1049h'; kill -9 $$": 128 + 9,
		"stty -icanon min 0 time 1 -isig; exit 3":           3,
		"exec sh -c 'stty raw; kill -9 -1; kill -9 $$'":     128 + 9,
		"stty -echo; sleep 1000":                            124,
	} {
		t.Run(strings.Fields(script)[1], func(t *testing.T) {
			b := Setup(t)
			term := b.openTerminal()
			before := term.settings()
			if code := term.run("run", "--timeout", "1500ms", "--fidelity", "near", b.Root, "sh", "-c", script); code != want {
				b.Errorf("exit %d, want %d: %q", code, want, term.screen())
			}
			if after := term.settings(); !reflect.DeepEqual(before, after) {
				b.Errorf("settings %+v, before %+v", after, before)
			}
		})
	}
}

// C34: signals that end or stop crossroot leave the terminal as it was, too.
func TestTerminalAfterSignals(t *testing.T) {
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT} {
		t.Run(unix.SignalName(s), func(t *testing.T) {
			b := Setup(t)
			term := b.openTerminal()
			before, root := term.settings(), b.Manifest(b.Root)
			c := term.start("crossroot", "run", "--fidelity", "near", b.Root, "sh", "-c", "echo x > /etc/new; echo ready; sleep 1000; echo woken")
			term.await("ready")
			b.must(c.Process.Signal(s))
			_ = c.Wait()
			if code := c.ProcessState.ExitCode(); code != 128+int(s) {
				b.Errorf("exit %d, want %d: %q", code, 128+int(s), term.screen())
			}
			if after := term.settings(); !reflect.DeepEqual(before, after) {
				b.Errorf("settings %+v, before %+v", after, before)
			}
			b.Unchanged(root)
		})
	}
}

// C34: Ctrl-C at the terminal reaches the command; a command that ignores it is ended within two seconds or so.
func TestInterrupt(t *testing.T) {
	b := Setup(t)
	term := b.openTerminal()
	before := term.settings()
	c := term.start("crossroot", "run", "--fidelity", "near", b.Root, "sh", "-c", "trap '' INT TERM HUP QUIT; echo ready; while :; do sleep 1; done")
	term.await("ready")
	began := time.Now()
	for range 3 {
		_, err := io.WriteString(term.master, "\x03")
		b.must(err)
		time.Sleep(100 * time.Millisecond)
	}
	_ = c.Process.Signal(unix.SIGINT) // from elsewhere, as the terminal is raw
	_ = c.Wait()
	if d := time.Since(began); d > 5*time.Second {
		b.Errorf("it took %v", d)
	}
	if after := term.settings(); !reflect.DeepEqual(before, after) {
		b.Errorf("settings %+v, before %+v", after, before)
	}
}

// C34: in the background of a shell's session crossroot runs on, and leaves the terminal to the foreground.
func TestBackground(t *testing.T) {
	b := Setup(t)
	term := b.openTerminal()
	before := term.settings()
	c := term.start("/bin/sh", "-c", `set -m
"$`+envDir+`"/crossroot run --fidelity near "$R" sh -c 'sleep 1; echo done' &
sleep 0.5; stty -a; wait $!; echo "status $?"`)
	term.await("status ")
	_ = c.Wait()
	out := term.screen()
	if !strings.Contains(out, "done\r\n") || !strings.Contains(out, "status 0") {
		b.Errorf("%q", out)
	}
	if strings.Contains(out, "-icanon") || strings.Contains(out, "-isig") {
		b.Errorf("the foreground's terminal was made raw: %q", out)
	}
	if after := term.settings(); !reflect.DeepEqual(before, after) {
		b.Errorf("settings %+v, before %+v", after, before)
	}
}

// A shell on a terminal: job control, the size follows, and nothing is kept without a yes.
func TestShell(t *testing.T) {
	b := Setup(t)
	term := b.openTerminal()
	before, root := term.settings(), b.Manifest(b.Root)
	c := term.start("crossroot", "shell", "--fidelity", "near", b.Root)
	type step struct{ input, shows string }
	talk := func(steps ...step) {
		for _, s := range steps {
			_, err := io.WriteString(term.master, s.input)
			b.must(err)
			term.await(s.shows)
		}
	}
	term.await("# ")
	talk(step{"echo $((40+2)) > /etc/new; stty size\n", "40 100"}, step{"sleep 1000\n", "sleep 1000"})
	time.Sleep(200 * time.Millisecond)
	talk(step{"\x1a", "Stopped"}, step{"kill -9 %1; wait; echo over$((1))\n", "over1"})
	b.must(unix.IoctlSetWinsize(int(term.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77}))
	b.must(c.Process.Signal(unix.SIGWINCH)) // what the kernel sends to the foreground of the terminal
	time.Sleep(200 * time.Millisecond)
	talk(step{"stty size\n", "33 77"}, step{"exit\n", "[y/N]"}, step{"n\n", "n"})
	if err := c.Wait(); err != nil {
		b.Errorf("%v: %q", err, term.screen())
	}
	if after := term.settings(); !reflect.DeepEqual(before, after) {
		b.Errorf("settings %+v, before %+v", after, before)
	}
	b.Unchanged(root)
}
