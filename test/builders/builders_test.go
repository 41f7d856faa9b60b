// Package builders tests `crossroot wrap` with builders as distributions ship them, on packages from the machine's own
// mirror: what they make must be what they make under emulation, with nothing of crossroot in it.
package builders

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossroot/crossroot/test/roots"
)

// binary is the crossroot that is tested.
var binary string

func TestMain(m *testing.M) {
	roots.Main()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "crossroot-builders-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "crossroot")
	c := exec.Command("go", "build", "-o", dir+"/", "github.com/crossroot/crossroot/cmd/...")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build crossroot: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// executions are how many there were, by what became of them.
type executions map[string]int

// wrap runs a builder under the crossroot that is tested, which must succeed.
func wrap(t *testing.T, args ...string) executions {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.json")
	c := exec.CommandContext(t.Context(), binary, append([]string{"wrap", "--report", report, "--"}, args...)...)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("wrap %s: %v\n%s", args, err, out)
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Roots []struct {
			Programs []struct {
				Outcome string
				Count   int
			}
		}
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	n := executions{}
	for _, root := range r.Roots {
		for _, p := range root.Programs {
			n[p.Outcome] += p.Count
		}
	}
	return n
}

// workdir is a directory that may hold files of subordinate ids.
func workdir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "work")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := roots.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A minimal root by mmdebstrap, then an image on top of it by buildah.
func TestMmdebstrapAndBuildah(t *testing.T) {
	dir := workdir(t)
	base := filepath.Join(dir, "base.tar")
	args, err := roots.Mmdebstrap(t.Context(), "armhf", base, "--variant=minbase")
	if err != nil {
		t.Fatal(err)
	}
	n := wrap(t, args...)
	if total := n["native"] + n["emulate"] + n["builtin"]; n["native"] < 1000 || n["native"]*100 < total*98 {
		t.Errorf("mmdebstrap: %v", n)
	}
	checkRoot(t, base)
	if t.Failed() {
		return
	}

	const file = `FROM scratch
ADD base.tar /
RUN groupadd -r svc && useradd -m -g svc svc && i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done
RUN perl -e 'open F, ">", "/etc/cpu"; print F ` + "`uname -m`" + `; exit !-d "/home/svc"' && dpkg-query -W >/etc/packages
`
	if err := os.WriteFile(filepath.Join(dir, "Containerfile"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	n = wrap(t, buildah(dir, "wrapped")...)
	if n["native"] < 200 || n["emulate"] > 2 {
		t.Errorf("buildah: %v", n)
	}
	a, err := roots.Lookup("armhf")
	if err != nil {
		t.Fatal(err)
	}
	if err := roots.Emulated(t.Context(), a, nil, buildah(dir, "emulated")...); err != nil {
		t.Fatal(err)
	}
	ours, theirs := readID(t, dir, "wrapped"), readID(t, dir, "emulated")
	if ours != theirs {
		t.Errorf("image %s, emulated %s", ours, theirs)
	}
}

// buildah is the command that builds an image, whose id says everything about its contents: the times are fixed.
func buildah(dir, name string) []string {
	at := func(s string) string { return filepath.Join(dir, name+s) }
	return []string{"buildah", "--root", at(".store"), "--runroot", at(".run"), "--storage-driver", "vfs", "bud", "--quiet",
		"--isolation", "chroot", "--network", "host", "--timestamp", "1700000000", "--platform", "linux/arm/v7", "--iidfile", at(".id"), dir}
}

func readID(t *testing.T, dir, name string) string {
	t.Helper()
	id, err := os.ReadFile(filepath.Join(dir, name+".id"))
	if err != nil {
		t.Fatal(err)
	}
	return string(id)
}

// checkRoot looks for what every finished root has, and for what none must have.
func checkRoot(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := map[string]bool{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		seen[h.Name] = true
		if strings.Contains(h.Name, "/.cr") {
			t.Errorf("%s is in %s", h.Name, name)
		}
		if h.Name != "./var/lib/dpkg/status" {
			continue
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\nStatus: "); n < 60 || n != strings.Count(string(text), "\nStatus: install ok installed\n") {
			t.Errorf("of %d packages %d are installed", n, strings.Count(string(text), "\nStatus: install ok installed\n"))
		}
	}
	for _, want := range []string{"./var/lib/dpkg/status", "./etc/passwd", "./etc/ld.so.cache", "./etc/shadow"} {
		if !seen[want] {
			t.Errorf("no %s in %s", want, name)
		}
	}
}
