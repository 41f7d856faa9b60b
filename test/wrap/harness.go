// Package wrap tests `crossroot wrap` with builders and roots of the awkward kinds: builders that unshare, pivot, drop
// rights and die, roots that are read-only, full or hostile. It runs a freshly built crossroot on stand-in roots, as
// whoever runs `go test`, and as root once more as the user named in CROSSROOT_TEST_USER. This file is what its tests
// share; it knows nothing of how crossroot works inside.
package wrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// limit is how long any builder may take: a hang is a failure.
const limit = 60 * time.Second

// hidden is crossroot's directory in a root.
const hidden = ".cr"

// Box is what one test works with.
type Box struct {
	*testing.T
	Root   string // a fresh stand-in root for armhf; $R in scripts
	dir    string // $D in scripts
	before *tree.Manifest
}

// Setup makes a root, which must be the same when the test ends, the time of its directory included.
func Setup(t *testing.T) *Box {
	t.Helper()
	b := &Box{T: t, dir: t.TempDir()}
	b.Root = filepath.Join(b.dir, "root")
	b.MakeRoot(b.Root)
	for inside, probe := range map[string]string{"/probe": "probe", "/foreign": "foreign", "/usr/bin/mount": "foreign", "/usr/bin/umount": "foreign"} {
		b.must(copyFile(filepath.Join(os.Getenv(envDir), probe), b.Root+inside))
	}
	b.must(os.WriteFile(b.Root+"/dev/null", nil, 0o666)) // for shells that start jobs in the background
	b.before = b.Manifest(b.Root)
	t.Cleanup(func() { b.unchanged() })
	return b
}

// MakeRoot makes a stand-in root in dir.
func (b *Box) MakeRoot(dir string) {
	b.Helper()
	a, _ := arch.Lookup("armhf")
	b.must(standin.Root(dir, a, standin.Options{Packages: standin.HostPackages()}))
}

func (b *Box) unchanged() {
	b.Helper()
	after := b.Manifest(b.Root)
	for _, d := range tree.Compare(b.before, after, tree.CompareOptions{}) {
		b.Errorf("root: %v", d)
	}
	was, _ := b.before.Lookup(".")
	if is, _ := after.Lookup("."); !is.ModTime.Equal(was.ModTime) {
		b.Errorf("root: changed at %v, before %v", is.ModTime, was.ModTime)
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

func (b *Box) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// Result is how a wrap ended.
type Result struct {
	Out, Err string
	Code     int
}

// command prepares crossroot with arguments.
func (b *Box) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(os.Getenv(envDir), "crossroot"), args...)
	c.WaitDelay = 2 * time.Second
	c.Env = append(os.Environ(), "R="+b.Root, "D="+b.dir, "P="+filepath.Join(os.Getenv(envDir), "probe"), "CROSSROOT="+filepath.Join(os.Getenv(envDir), "crossroot"))
	c.Dir = b.dir
	return c
}

// Crossroot runs crossroot and fails the test if that takes longer than limit.
func (b *Box) Crossroot(args ...string) Result {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := b.command(ctx, args...)
	var out, err bytes.Buffer
	c.Stdout, c.Stderr = &out, &err
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

// Wrap runs a shell script as a builder, with options.
func (b *Box) Wrap(script string, options ...string) Result {
	b.Helper()
	return b.Crossroot(append(append([]string{"wrap"}, options...), "--", "sh", "-c", script)...)
}

// Prints runs a script as a builder, which must succeed and print want, and leave no mount point.
func (b *Box) Prints(want, script string, options ...string) {
	b.Helper()
	r := b.Wrap(script, options...)
	if r.Code != 0 || r.Out != want {
		b.Errorf("%s: exit %d, printed %q, want %q\n%s", script, r.Code, r.Out, want, r.Err)
	}
	b.gone()
}

// gone fails if there is a mount point in the root.
func (b *Box) gone() {
	b.Helper()
	if _, err := os.Lstat(filepath.Join(b.Root, hidden)); err == nil {
		b.Errorf("%s is left in the root", hidden)
	}
}

// Count is how many executions of each outcome a script as a builder led to.
func (b *Box) Count(script string, options ...string) map[string]int {
	b.Helper()
	file := filepath.Join(b.dir, "report.json")
	if r := b.Wrap(script, append(options, "--report", file)...); r.Code != 0 {
		b.Fatalf("%s: exit %d\n%s%s", script, r.Code, r.Out, r.Err)
	}
	var report struct {
		Roots []struct {
			Programs []struct {
				Outcome string
				Count   int
			}
		}
	}
	data, err := os.ReadFile(file)
	b.must(err)
	b.must(json.Unmarshal(data, &report))
	n := map[string]int{}
	for _, r := range report.Roots {
		for _, p := range r.Programs {
			n[p.Outcome] += p.Count
		}
	}
	return n
}

// isRoot tells whether the tests run as real root.
func isRoot() bool { return os.Geteuid() == 0 }
