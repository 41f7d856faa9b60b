// Package sandbox attacks crossroot as hostile roots and scripts would, on stand-in roots, and looks at the machine
// afterwards: docs/threat-model.md lists the attacks by the numbers that the tests bear. It runs a freshly built
// crossroot as whoever runs `go test`, and as root once more as the user named in CROSSROOT_TEST_USER, who needs a
// subordinate id range. This file is what its tests share; it knows nothing of how crossroot works inside.
package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/standin"
	"github.com/crossroot/crossroot/internal/tree"
)

// Environment of the test processes.
const (
	envDir  = "CROSSROOT_TEST_DIR"  // where crossroot, the probes and this test lie, set for the processes that test
	envUser = "CROSSROOT_TEST_USER" // the ordinary user to test as, if root runs the tests
)

// failed is crossroot's exit code for its own failures.
const failed = 125

// limit is how long any run may take: a hang is a failure (U5 of the threat catalogue).
const limit = 30 * time.Second

// Box is what one test works with.
type Box struct {
	*testing.T
	Root   string // a fresh stand-in root for armhf
	Canary string // a directory of the host with files that must stay as they are
	dir    string
}

// Setup makes a root and a canary, and looks at the whole machine before and after the test.
func Setup(t *testing.T) *Box {
	t.Helper()
	b := &Box{T: t, dir: t.TempDir()}
	b.Root, b.Canary = filepath.Join(b.dir, "root"), filepath.Join(b.dir, "canary")
	b.MakeRoot(b.Root)
	b.must(os.MkdirAll(filepath.Join(b.Canary, "below"), 0o755))
	b.Write(filepath.Join(b.Canary, "a"), "precious\n")
	b.Write(filepath.Join(b.Canary, "x"), "secret of the host\n")
	before := b.host()
	t.Cleanup(func() {
		b.orphans()
		after := b.host()
		for name, text := range before {
			if after[name] != text {
				t.Errorf("host: %s changed:\nbefore %s\nafter  %s", name, text, after[name])
			}
		}
	})
	return b
}

// MakeRoot makes a stand-in root in dir.
func (b *Box) MakeRoot(dir string) {
	b.Helper()
	a, _ := arch.Lookup("armhf")
	b.must(standin.Root(dir, a, standin.Options{Packages: standin.HostPackages()}))
}

// Probes puts the probes into the root, as /probe and /probe32.
func (b *Box) Probes() {
	b.Helper()
	for _, probe := range []string{"probe", "probe32"} {
		data, err := os.ReadFile(filepath.Join(os.Getenv(envDir), probe))
		b.must(err)
		b.must(os.WriteFile(b.In(probe), data, 0o755))
	}
}

// In is a path of the root, seen from the host.
func (b *Box) In(path string) string { return filepath.Join(b.Root, path) }

// Write writes a file of the host, with its directories.
func (b *Box) Write(path, text string) {
	b.Helper()
	b.must(os.MkdirAll(filepath.Dir(path), 0o755))
	b.must(os.WriteFile(path, []byte(text), 0o644))
}

// Read reads a file of the host.
func (b *Box) Read(path string) string {
	b.Helper()
	data, err := os.ReadFile(path)
	b.must(err)
	return string(data)
}

// Replace puts what plant makes in place of whatever is at a path of the root.
func (b *Box) Replace(path string, plant func(string) error) {
	b.Helper()
	b.must(os.RemoveAll(b.In(path)))
	b.must(os.MkdirAll(filepath.Dir(b.In(path)), 0o755))
	b.must(plant(b.In(path)))
}

// Plants for Replace.
func link(target string) func(string) error {
	return func(path string) error { return os.Symlink(target, path) }
}

func fifo(path string) error      { return syscall.Mkfifo(path, 0o644) }
func directory(path string) error { return os.Mkdir(path, 0o755) }

func file(text string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(text), 0o644) }
}

func sparse(size int64) func(string) error {
	return func(path string) error {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Truncate(size), f.Close())
	}
}

func (b *Box) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// Result is how a run of crossroot ended.
type Result struct {
	Out, Err string
	Code     int
}

// Options of Crossroot.
type Options struct {
	Env   []string   // replaces the environment, if not nil
	Dir   string     // working directory
	Stdin string     //
	Extra []*os.File // inherited descriptors 3, 4, …
}

// command prepares crossroot with arguments.
func command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(os.Getenv(envDir), "crossroot"), args...)
	c.WaitDelay = 2 * time.Second
	return c
}

// Crossroot runs crossroot with arguments and fails the test if that takes longer than limit.
func (b *Box) Crossroot(o Options, args ...string) Result {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := command(ctx, args...)
	var out, err bytes.Buffer
	c.Stdout, c.Stderr = &out, &err
	c.Stdin, c.Env, c.Dir, c.ExtraFiles = strings.NewReader(o.Stdin), o.Env, o.Dir, o.Extra
	failure := c.Run()
	if ctx.Err() != nil {
		b.Fatalf("crossroot %q hangs; it said:\n%s%s", args, &out, &err)
	}
	var exit *exec.ExitError
	if failure != nil && !errors.As(failure, &exit) {
		b.Fatalf("crossroot %q: %v", args, failure)
	}
	r := Result{out.String(), err.String(), c.ProcessState.ExitCode()}
	if strings.Contains(r.Err, "goroutine ") || strings.Contains(r.Err, "%!") {
		b.Errorf("crossroot %q broke down:\n%s", args, r.Err)
	}
	return r
}

// Run runs a shell script in a root and keeps its changes if it succeeds. Near fidelity makes it independent of the
// versions of the host's tools.
func Run(b *Box, root, script string) (stdout, stderr string, code int) {
	b.Helper()
	r := b.Crossroot(Options{}, "run", "--fidelity", "near", root, "--", "sh", "-c", script)
	return r.Out, r.Err, r.Code
}

// Works runs a script in the root, which must succeed, and returns its output.
func (b *Box) Works(script string) string {
	b.Helper()
	out, err, code := Run(b, b.Root, script)
	if code != 0 {
		b.Fatalf("%s: exit %d\n%s%s", script, code, out, err)
	}
	return out
}

var controls = regexp.MustCompile(`[\x00-\x09\x0b-\x1f\x7f]`)

// Refused runs a script, which must not even start: exit code 125, one line on standard error that has each of words,
// nothing changed in the root.
func (b *Box) Refused(words ...string) {
	b.Helper()
	before := b.Manifest(b.Root)
	out, err, code := Run(b, b.Root, "echo started; echo changed > /etc/changed")
	if code != failed || out != "" {
		b.Errorf("exit %d, want %d; output %q", code, failed, out)
	}
	b.oneLine(err, words...)
	b.Unchanged(before)
}

// oneLine checks a message: one line, from crossroot, with each of words, without control characters.
func (b *Box) oneLine(text string, words ...string) {
	b.Helper()
	if !strings.HasPrefix(text, "crossroot: ") || strings.Count(text, "\n") != 1 || controls.MatchString(text) {
		b.Errorf("not one line of crossroot's: %q", text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			b.Errorf("message %q lacks %q", text, w)
		}
	}
}

// Manifest describes a tree.
func (b *Box) Manifest(dir string) *tree.Manifest {
	b.Helper()
	f, err := os.Open(dir)
	b.must(err)
	defer f.Close()
	m, err := tree.Scan(f, tree.Options{})
	b.must(err)
	return m
}

// Unchanged fails unless the root is exactly as described, times included.
func (b *Box) Unchanged(before *tree.Manifest) {
	b.Helper()
	b.Only(before)
}

// Only fails unless the root differs from before in nothing but what lies at or below paths, and its time of change.
func (b *Box) Only(before *tree.Manifest, paths ...string) {
	b.Helper()
	for _, d := range tree.Compare(before, b.Manifest(b.Root), tree.CompareOptions{Times: true}) {
		expected := false
		for _, p := range paths {
			expected = expected || d.Path == p || strings.HasPrefix(d.Path, p+"/") ||
				d.Aspect == tree.Times && d.Path == filepath.Dir(p)
		}
		if !expected {
			b.Errorf("root: %v", d)
		}
	}
}

// Naive runs a shell script as a builder without protection would: as root of a throw-away user namespace, with its
// own mounts and processes but the host's files. It shows that an attack is one.
func (b *Box) Naive(script string) string {
	b.Helper()
	c := exec.Command("/bin/sh", "-c", script)
	c.Env = append(os.Environ(), "R="+b.Root, "C="+b.Canary)
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	out, err := c.CombinedOutput()
	if err != nil {
		b.Fatalf("without protection, %s: %v\n%s", script, err, out)
	}
	return string(out)
}

// isRoot tells whether the tests run as real root.
func isRoot() bool { return os.Geteuid() == 0 }

func quote(s string) string { return fmt.Sprintf("'%s'", strings.ReplaceAll(s, "'", `'\''`)) }

// shell runs a script of the host's own shell, with R and C naming root and canary, and returns both its streams.
func (b *Box) shell(script string) string {
	b.Helper()
	c := exec.Command("/bin/sh", "-c", script)
	c.Env = append(os.Environ(), "R="+b.Root, "C="+b.Canary)
	out, err := c.CombinedOutput()
	if err != nil {
		b.Errorf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}
