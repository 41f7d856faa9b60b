package wrap

import (
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

// terminal is a pseudo-terminal with a program on it.
type terminal struct {
	*Box
	master, slave *os.File
	mu            sync.Mutex
	shown         strings.Builder
}

func (b *Box) openTerminal() *terminal {
	b.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	b.must(err)
	b.must(unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	b.must(err)
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	b.must(err)
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

func (t *terminal) screen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shown.String()
}

func (t *terminal) await(text string) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !strings.Contains(t.screen(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %q on the terminal:\n%q", text, t.screen())
		}
	}
}

func (t *terminal) enter(text string) {
	t.Helper()
	_, err := io.WriteString(t.master, text)
	t.must(err)
}

// start runs a shell script on the terminal, in the foreground of a session of its own.
func (t *terminal) start(script string) *exec.Cmd {
	t.Helper()
	c := t.command(t.Context(), "")
	c.Path, c.Args = "/bin/bash", []string{"bash", "--norc", "-c", script}
	c.Stdin, c.Stdout, c.Stderr = t.slave, t.slave, t.slave
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	t.must(c.Start())
	return c
}

// Ctrl-C at the terminal reaches the command once, and what it started; its exit status is told.
func TestInterrupt(t *testing.T) {
	b := Setup(t)
	term := b.openTerminal()
	before, err := unix.IoctlGetTermios(int(term.slave.Fd()), unix.TCGETS)
	b.must(err)
	c := term.start(`$CROSSROOT wrap -- sh -c 'n=0; trap "n=\$((n+1))" INT; echo ready; sleep 2; sleep 0.5; echo "n=$n"; exit 5'; echo "status $?"`)
	term.await("ready")
	time.Sleep(100 * time.Millisecond)
	term.enter("\x03")
	term.await("status ")
	_ = c.Wait()
	if out := term.screen(); !strings.Contains(out, "n=1\r\n") || !strings.Contains(out, "status 5") {
		b.Errorf("%q", out)
	}
	after, err := unix.IoctlGetTermios(int(term.slave.Fd()), unix.TCGETS)
	if err != nil || !reflect.DeepEqual(before, after) {
		b.Errorf("settings %+v, before %+v, %v", after, before, err)
	}
	term = b.openTerminal()
	c = term.start(`$CROSSROOT wrap -- chroot $R sh -c 'echo ready; sleep 100'; echo "status $?"`)
	term.await("ready")
	time.Sleep(100 * time.Millisecond)
	term.enter("\x03")
	term.await("status 130")
	_ = c.Wait()
}

// Ctrl-Z stops the command and the wrap, fg goes on with it.
func TestStop(t *testing.T) {
	b := Setup(t)
	term := b.openTerminal()
	c := term.start(`set -m
$CROSSROOT wrap -- chroot $R sh -c 'echo ready; sleep 1; echo again; exit 6'; echo "first $?"; fg; echo "then $?"`)
	term.await("ready")
	time.Sleep(200 * time.Millisecond)
	term.enter("\x1a")
	term.await("first 148")
	term.await("then 6")
	_ = c.Wait()
	if out := term.screen(); !strings.Contains(out, "again") {
		b.Errorf("%q", out)
	}
}

// A shell with job control below a wrap.
func TestJobs(t *testing.T) {
	b := Setup(t)
	term := b.openTerminal()
	c := term.start(`PS1='> ' $CROSSROOT wrap -- bash --norc -i; echo "status $?"`)
	term.await("> ")
	term.enter("chroot $R sh -c 'sleep 1; echo slept'\n")
	time.Sleep(500 * time.Millisecond)
	term.enter("\x1a")
	term.await("Stopped")
	term.enter("fg\n")
	term.await("slept\r\n")
	term.enter("chroot $R sleep 100 &\nkill %1; wait; echo over$((1))\n")
	term.await("over1")
	term.enter("exit 4\n")
	term.await("status 4")
	_ = c.Wait()
	if out := term.screen(); strings.Contains(out, "no job control") || strings.Contains(out, "cannot set terminal") {
		b.Errorf("%q", out)
	}
}
