package cli_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/standin"
	"github.com/crossroot/crossroot/internal/tree"
)

// shared is what all scripts use: the directory of the real executable (it starts itself again and makes the
// dispatcher's image of itself, so the test binary can't stand for it), and one cache with the tool root.
var shared string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	var err error
	if shared, err = os.MkdirTemp("", "crossroot-scripts-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(shared)
	build := exec.Command("go", "build", "-o", filepath.Join(shared, "bin", "crossroot"), "github.com/crossroot/crossroot/cmd/crossroot")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build crossroot: %v\n%s", err, out)
		return 1
	}
	if err := withoutQemu(filepath.Join(shared, "noqemu")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// withoutQemu makes a directory with what crossroot and the scripts call, as far as the machine has it, but no emulator.
func withoutQemu(dir string) error {
	err := os.Mkdir(dir, 0o755)
	for _, name := range []string{"newuidmap", "newgidmap", "sh", "dash", "bash"} {
		if path, lerr := exec.LookPath(name); lerr == nil {
			err = errors.Join(err, os.Symlink(path, filepath.Join(dir, name)))
		}
	}
	return err
}

// The scripts under testdata/script are the command line's contract: each message, each exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		RequireUniqueNames: true,
		Deadline:           time.Now().Add(5 * time.Minute),
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Join(shared, "bin")+":/usr/sbin:/usr/bin:/sbin:/bin")
			e.Setenv("NOQEMU", filepath.Join(shared, "bin")+":"+filepath.Join(shared, "noqemu")) // a PATH
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("CROSSROOT_CACHE", filepath.Join(shared, "cache"))
			e.Setenv("LC_ALL", "C")
			e.Values["run"] = &lastRun{snapshots: map[string]*tree.Manifest{}}
			return nil
		},
		Condition: func(c string) (bool, error) {
			if c == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("no condition %q", c)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"crossroot": crossroot,
			"status":    status,
			"root":      makeRoot,
			"program":   makeProgram,
			"poke":      poke,
			"await":     await,
			"field":     field,
			"snapshot":  snapshot,
			"unchanged": unchanged,
		},
	})
}

// lastRun is the latest exit code, and what snapshots say.
type lastRun struct {
	code      int
	snapshots map[string]*tree.Manifest
}

// state of one script.
func state(ts *testscript.TestScript) *lastRun { return ts.Value("run").(*lastRun) }

// crossroot ARG… runs the executable; with ! it must fail, and status says how.
func crossroot(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("crossroot", args...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		state(ts).code = 0
	case errors.As(err, &exit):
		state(ts).code = exit.ExitCode()
	default:
		ts.Fatalf("%v", err)
	}
	if (err != nil) != neg {
		ts.Fatalf("exit status %d", state(ts).code)
	}
}

// status N: the latest crossroot ended with exit status N.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || args[0] != strconv.Itoa(state(ts).code) {
		ts.Fatalf("exit status is %d, want %s", state(ts).code, strings.Join(args, " "))
	}
}

// root [-near] DIR [ARCH] makes a root of stand-ins (armhf) with the host's package versions; with -near it has no
// package database, so that nothing runs natively under exact fidelity.
func makeRoot(ts *testscript.TestScript, neg bool, args []string) {
	o := standin.Options{Packages: standin.HostPackages()}
	if len(args) > 0 && args[0] == "-near" {
		o.Packages, args = nil, args[1:]
	}
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: root [-near] DIR [ARCH]")
	}
	ts.Check(standin.Root(ts.MkAbs(args[0]), architecture(ts, args[1:]), o))
}

// program FILE [ARCH] makes one stand-in executable.
func makeProgram(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: program FILE [ARCH]")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), standin.Program{Arch: architecture(ts, args[1:])}.Bytes(), 0o755))
}

func architecture(ts *testscript.TestScript, args []string) arch.Arch {
	name := "armhf"
	if len(args) > 0 {
		name = args[0]
	}
	a, ok := arch.Lookup(name)
	if !ok {
		ts.Fatalf("no architecture %q", name)
	}
	return a
}

// poke FILE OFFSET HEX overwrites bytes.
func poke(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: poke FILE OFFSET HEX")
	}
	offset, err := strconv.ParseInt(args[1], 0, 64)
	ts.Check(err)
	bytes, err := hex.DecodeString(args[2])
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY, 0)
	ts.Check(err)
	defer f.Close()
	_, err = f.WriteAt(bytes, offset)
	ts.Check(err)
}

// await FILE waits for a file to appear.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s did not appear", args[0])
}

// field FILE KEY… [= VALUE]: the JSON document, or one of several, has VALUE (or anything) at the place that the keys
// lead to, such as: field report.json changes path=/etc/x kind = added
func field(ts *testscript.TestScript, neg bool, args []string) {
	want, anything := "", true
	if n := len(args); n > 2 && args[n-2] == "=" {
		want, anything, args = args[n-1], false, args[:n-2]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: field FILE KEY… [= VALUE]")
	}
	found, seen := false, []string{}
	for d := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0]))); d.More(); {
		var v any
		ts.Check(d.Decode(&v))
		if text, ok := lookUp(v, args[1:]); ok {
			seen = append(seen, text)
			found = found || anything || text == want
		}
	}
	if found == neg {
		ts.Fatalf("%s in %s is %q", strings.Join(args[1:], " "), args[0], seen)
	}
}

// lookUp follows a path of keys and indexes; # is the length.
func lookUp(v any, path []string) (string, bool) {
	if len(path) == 0 {
		if s, ok := v.(string); ok {
			return s, true
		}
		text, err := json.Marshal(v)
		return string(text), err == nil
	}
	switch x := v.(type) {
	case map[string]any:
		if inner, ok := x[path[0]]; ok {
			return lookUp(inner, path[1:])
		}
	case []any:
		if path[0] == "#" {
			return strconv.Itoa(len(x)), true
		}
		if i, err := strconv.Atoi(path[0]); err == nil && i < len(x) {
			return lookUp(x[i], path[1:])
		}
		for _, e := range x { // path=/etc/x: the element whose key has the value
			key, value, ok := strings.Cut(path[0], "=")
			m, isMap := e.(map[string]any)
			if ok && isMap && m[key] == value {
				return lookUp(e, path[1:])
			}
		}
	}
	return "", false
}

// snapshot DIR… remembers trees.
func snapshot(ts *testscript.TestScript, neg bool, args []string) {
	for _, dir := range args {
		state(ts).snapshots[dir] = scan(ts, dir)
	}
}

// unchanged DIR…: the trees are as they were at their snapshot, times included; with ! they aren't.
func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	for _, dir := range args {
		old, ok := state(ts).snapshots[dir]
		if !ok {
			ts.Fatalf("no snapshot of %s", dir)
		}
		differences := tree.Compare(old, scan(ts, dir), tree.CompareOptions{Times: true})
		if (len(differences) == 0) == neg {
			ts.Fatalf("differences in %s: %v", dir, differences)
		}
	}
}

func scan(ts *testscript.TestScript, dir string) *tree.Manifest {
	f, err := os.Open(ts.MkAbs(dir))
	ts.Check(err)
	defer f.Close()
	m, err := tree.Scan(f, tree.Options{})
	ts.Check(err)
	return m
}
