package sandbox

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The caller's input may be a pipe that a shell reads its commands from. Whoever has a pipe's read end can open the
// write end through /proc, and leave commands there.
func TestPipeForInput(t *testing.T) {
	b := Setup(t)
	inject := func(opener string) string {
		return "printf '%s\n' " + quote(opener+` 'echo "touch `+b.dir+`/injected" > /proc/self/fd/0 || cat'; true`) + " 'echo tail' | sh"
	}
	injected := filepath.Join(b.dir, "injected")
	b.shell(inject("sh -c"))
	if _, err := os.Stat(injected); err != nil {
		b.Fatalf("without protection: %v", err)
	}
	b.must(os.Remove(injected))
	b.shell(inject(`"$` + envDir + `"/crossroot run --keep never --fidelity near "$R" sh -c`))
	if _, err := os.Stat(injected); err == nil {
		b.Error("a command was left in the caller's pipe")
	}
	// The pipe still works, by name too, and a reader that never comes holds nothing up.
	got := b.shell(`echo said | "$` + envDir + `"/crossroot run --keep never --fidelity near "$R" cat /dev/stdin
		head -c 1000000 /dev/zero | "$` + envDir + `"/crossroot run --keep never --fidelity near "$R" echo through`)
	if got != "said\nthrough\n" {
		b.Errorf("%q", got)
	}
}

// A file of holes has any length and takes no room: nothing may read through it.
func TestHoles(t *testing.T) {
	b := Setup(t)
	before := b.Manifest(b.Root)
	r := b.Crossroot(Options{}, "run", "--keep", "never", "--fidelity", "near", b.Root, "sh", "-c", "truncate -s 4096P /long; echo done")
	if r.Code != 0 || r.Out != "done\n" {
		b.Errorf("exit %d: %s%s", r.Code, r.Out, r.Err)
	}
	b.Unchanged(before)
	b.Works(`truncate -s 200G /long; printf 'in /.cr/bin/x\n' >> /long`)
	b.must(os.Remove(b.In("long")))
}

// C11: pid 1 takes no harm from signals that its children may send, since their ids are the same.
func TestSignalsToPid1(t *testing.T) {
	b := Setup(t)
	for _, s := range strings.Fields("ABRT SEGV BUS FPE ILL SYS TRAP XCPU XFSZ PIPE ALRM VTALRM PROF STOP KILL TSTP TTIN TTOU URG IO CHLD") {
		_, err, code := Run(b, b.Root, "kill -"+s+" 1; sleep 0.05; exit 7")
		if code != 7 || err != "" {
			b.Errorf("SIG%s: exit %d, %q", s, code, err)
		}
	}
}

// Sockets of families that know no namespaces are refused in every ABI; i386's socketcall hides the family from the filter.
func TestSocketFamilies(t *testing.T) {
	b := Setup(t)
	b.Probes()
	const want = "unix: ok\ninet: ok\ninet6: ok\nnetlink: ok\nraw: EPERM\npacket: EPERM\nalg: EAFNOSUPPORT\nvsock: EAFNOSUPPORT\n"
	for _, probe := range []string{"/probe", "/probe32"} {
		if got := b.Works(probe + " sockets"); got != want {
			b.Errorf("%s: %s", probe, got)
		}
	}
}

// Requests to the broker at the very end hold no file of the root: its overlay can be unmounted.
func TestRequestsAtTheEnd(t *testing.T) {
	b := Setup(t)
	b.Probes()
	for range 5 {
		b.Works("for i in 1 2 3 4 5 6; do /probe requests & done 2>/dev/null >&2; sleep 0.1")
	}
	b.Works("test ! -e /tmp/node || rm /tmp/node")
}

// C09: a descriptor that left the run by the caller's socket could change files while they are reviewed and kept.
func TestFilesHeldOutside(t *testing.T) {
	b := Setup(t)
	b.Probes()
	before := b.Manifest(b.Root)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	b.must(err)
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close() // until here the kernel holds the descriptor in the socket
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := command(ctx, "run", "--keep", "always", "--fidelity", "near", b.Root, "/probe", "give", "/etc/given")
	var out, complaint bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = theirs, &out, &complaint
	_ = c.Run()
	theirs.Close()
	if out.String() != "give: ok\n" || c.ProcessState.ExitCode() != failed {
		b.Errorf("exit %d: %s", c.ProcessState.ExitCode(), &out)
	}
	b.oneLine(complaint.String(), "outside holds files")
	b.Unchanged(before)
}
