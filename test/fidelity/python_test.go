package fidelity

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/test/roots"
)

// languages are what the root has beyond the minimal: python and perl with binary modules of several packages.
var languages = []string{
	"python3", "python3-markupsafe", "python3-yaml", "perl", "liblocale-gettext-perl", "libtext-charwidth-perl", "libtext-iconv-perl",
}

// Policies on top of the built-in one. By itself that lets only a few scripts run in a python whose words have another
// size than the target's.
const (
	pythonNative   = "[[row]]\nname = \"python\"\nprograms = [\"python3.*\"]\noutcome = \"native\"\nidentity = \"decides\"\nreason = \"a test of it\"\n"
	pythonEmulated = "[[row]]\nname = \"python\"\nprograms = [\"python3.*\"]\noutcome = \"emulate\"\nreason = \"a test against it\"\n"
)

// inRoot runs commands in a root with a twin, and keeps nothing of what it does to the root.
type inRoot struct {
	crossroot, root string
	arch            roots.Arch
}

// run returns the output and, by the program's path, the outcomes that its executions had.
func (r inRoot) run(t *testing.T, policy string, command ...string) (out string, outcomes map[string][]string) {
	t.Helper()
	dir := t.TempDir()
	report := filepath.Join(dir, "report")
	args := []string{"run", "-q", "--tools", "twin", "--keep", "never", "--report", report}
	if policy != "" {
		file := filepath.Join(dir, "policy.toml")
		if err := os.WriteFile(file, []byte(policy), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--policy", file)
	}
	cmd := exec.CommandContext(t.Context(), r.crossroot, append(append(args, r.root, "--"), command...)...)
	cmd.Env = append(os.Environ(), r.arch.Env...)
	cmd.WaitDelay = 10 * time.Second
	b, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, b)
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var told struct {
		Programs []struct{ Path, Outcome string }
	}
	if err := json.Unmarshal(text, &told); err != nil {
		t.Fatal(err)
	}
	outcomes = map[string][]string{}
	for _, p := range told.Programs {
		outcomes[p.Path] = append(outcomes[p.Path], p.Outcome)
	}
	return string(b), outcomes
}

// script is a file of testdata; it is given to its interpreter as an argument.
func script(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// In a root with a twin, python and perl run natively, load every binary module, and tell what they tell under the
// emulator; and what python compiles is the same, byte for byte.
func TestLanguages(t *testing.T) {
	crossroot := build(t)
	first, root := roots.FirstStage(t, "armhf", languages...)
	run(t, crossroot, first.Arch, root)
	r := inRoot{crossroot, root, first.Arch}
	const python, perl = "/usr/bin/python3.11", "/usr/bin/perl"
	onlyNative := func(t *testing.T, outcomes map[string][]string, program string) {
		t.Helper()
		if !slices.Equal(outcomes[program], []string{"native"}) {
			t.Errorf("%s ran as %q", program, outcomes[program])
		}
	}

	t.Run("tells", func(t *testing.T) {
		script := script(t, "tells.py")
		native, outcomes := r.run(t, pythonNative, "python3", "-c", script)
		onlyNative(t, outcomes, python)
		emulated, _ := r.run(t, pythonEmulated, "python3", "-c", script)
		// Known exceptions of docs/policy.md: the size of words, and what the kernel knows.
		allowed := []string{
			"sys.hash_info", "sys.maxsize", "platform.architecture", "struct.l", "struct.n", "struct.N", "struct.P", "/proc/self/exe",
		}
		if diff := cmp.Diff(allowed, differing(t, native, emulated)); diff != "" {
			t.Errorf("what differs (-allowed +found):\n%s", diff)
		}
	})
	t.Run("imports", func(t *testing.T) {
		script := script(t, "imports.py")
		native, outcomes := r.run(t, pythonNative, "python3", "-c", script)
		onlyNative(t, outcomes, python)
		emulated, _ := r.run(t, pythonEmulated, "python3", "-c", script)
		if native != emulated || strings.Contains(native, "FAILED") {
			t.Errorf("modules (-emulated +native):\n%s", cmp.Diff(emulated, native))
		}
		if n := strings.Count(native, "\n"); n < 45 {
			t.Errorf("%d modules only:\n%s", n, native)
		}
	})
	t.Run("compiled", func(t *testing.T) {
		script := `find /usr/lib/python3* /usr/share/python3 -name '*.pyc' -delete
			cd /usr/lib/python3.11 && python3.11 -m compileall -q asyncio ctypes email json xml && py3compile -p python3-minimal /usr/share/python3 &&
			python3.11 -E -S /usr/lib/python3.11/py_compile.py /usr/lib/python3.11/[a-d]*.py &&
			find /usr/lib/python3* /usr/share/python3 -name '*.pyc' | sort | xargs sha256sum`
		start := time.Now()
		native, outcomes := r.run(t, "", "sh", "-c", script)
		between := time.Now()
		onlyNative(t, outcomes, python)
		emulated, _ := r.run(t, pythonEmulated, "sh", "-c", script)
		t.Logf("%d modules compiled: %.1f s, emulated %.1f s", strings.Count(native, "\n"), between.Sub(start).Seconds(), time.Since(between).Seconds())
		if diff := cmp.Diff(emulated, native); diff != "" || strings.Count(native, "\n") < 100 {
			t.Errorf("compiled modules (-emulated +native):\n%s", diff)
		}
	})
	t.Run("edges", func(t *testing.T) {
		script := script(t, "edges.sh")
		native, _ := r.run(t, pythonNative, "bash", "-c", script)
		emulated, _ := r.run(t, pythonEmulated, "bash", "-c", script)
		// All but the word size is as under the emulator, and that tells what ran natively.
		if diff := cmp.Diff(emulated, strings.ReplaceAll(native, "\n8 ", "\n4 ")); diff != "" {
			t.Errorf("(-emulated +native):\n%s", diff)
		}
		var ran, what []string
		for line := range strings.Lines(native) {
			if size, _, ok := strings.Cut(line, " "); ok && (size == "4" || size == "8") {
				ran = append(ran, size)
			} else {
				what = append(what, line)
			}
		}
		if got, want := strings.Join(ran, ""), "8888"+"44"+"44"+"4"+"8"+"4"+"8"; got != want {
			t.Errorf("word sizes %s, not %s\n%s", got, want, what)
		}
	})
	t.Run("perl", func(t *testing.T) {
		script := script(t, "uses.pl")
		out, outcomes := r.run(t, "", "perl", "-e", script)
		onlyNative(t, outcomes, perl)
		if strings.Contains(out, "FAILED") || strings.Count(out, "\n") < 55 {
			t.Errorf("%d modules:\n%s", strings.Count(out, "\n"), out)
		}
		for _, name := range []string{"Locale::gettext", "Text::CharWidth", "Text::Iconv", "POSIX", "Storable"} {
			if !strings.Contains(out, "used "+name+"\n") {
				t.Errorf("no %s", name)
			}
		}
	})
}

// differing lists the names whose lines, NAME = VALUE, differ.
func differing(t *testing.T, a, b string) (names []string) {
	t.Helper()
	la, lb := strings.Split(a, "\n"), strings.Split(b, "\n")
	if len(la) != len(lb) || len(la) < 800 {
		t.Fatalf("%d and %d lines: %.300s", len(la), len(lb), a)
	}
	for i := range la {
		if la[i] != lb[i] {
			name, _, _ := strings.Cut(la[i], " = ")
			names = append(names, name)
		}
	}
	return names
}
