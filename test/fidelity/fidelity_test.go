// Package fidelity compares what crossroot makes of a root with what a plain chroot under qemu-user makes of it, file
// by file. It knows crossroot only as a command; what may differ is package exempt's.
package fidelity

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crossroot/crossroot/internal/exempt"
	"github.com/crossroot/crossroot/internal/tree"
	"github.com/crossroot/crossroot/test/roots"
)

func TestMain(m *testing.M) {
	roots.Main()
	os.Exit(m.Run())
}

// The second stage of a Debian root under crossroot leaves the files that it leaves in a plain chroot under qemu-user.
func TestSecondStage(t *testing.T) {
	crossroot := build(t)
	for _, arch := range []string{"armhf", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			first, root := roots.FirstStage(t, arch)
			reference := roots.Reference(t, first)
			run(t, crossroot, first.Arch, root)
			for _, e := range same(t, reference, root) {
				t.Errorf("exemption of %s %q is not needed", e.Aspect, e.Path)
			}
		})
	}
}

// Two plain chroots differ in nothing that is not exempt, so the comparison is fair. With CROSSROOT_TEST_REFERENCE=1
// also the emulated ones: a minute for each architecture.
func TestReferenceTwice(t *testing.T) {
	archs := []string{"amd64"}
	if os.Getenv("CROSSROOT_TEST_REFERENCE") != "" {
		archs = append(archs, "armhf", "arm64")
	}
	for _, arch := range archs {
		t.Run(arch, func(t *testing.T) {
			first, root := roots.FirstStage(t, arch)
			reference := roots.Reference(t, first)
			err := roots.Chroot{Root: root, Arch: first.Arch}.Run(t.Context(), nil, roots.SecondStage...)
			if err != nil {
				t.Fatal(err)
			}
			same(t, reference, root)
		})
	}
}

// build makes the command, with crossroot-fetch beside it, unless $CROSSROOT_TEST_BINARY has one (for a user without a Go
// module cache).
func build(t *testing.T) string {
	t.Helper()
	if file := os.Getenv("CROSSROOT_TEST_BINARY"); file != "" {
		return file
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+"/", "github.com/crossroot/crossroot/cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build crossroot: %v\n%s", err, out)
	}
	return filepath.Join(dir, "crossroot")
}

func run(t *testing.T, crossroot string, arch roots.Arch, root string) {
	t.Helper()
	args := append([]string{"run", "--keep", "success", root, "--"}, roots.SecondStage...)
	cmd := exec.CommandContext(t.Context(), crossroot, args...)
	cmd.Env = append(append(os.Environ(), "CROSSROOT_TOOLS=host"), arch.Env...)
	cmd.WaitDelay = 10 * time.Second
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("crossroot run: %v\n%s", err, out)
	}
	t.Logf("%s: second stage and commit in %.1f s", arch.Name, time.Since(start).Seconds())
}

// same fails for every difference that is not exempt, and returns the exemptions that nothing needed.
func same(t *testing.T, reference roots.Stage, root string) (unused []exempt.Exemption) {
	t.Helper()
	list, err := exempt.Default()
	if err != nil {
		t.Fatal(err)
	}
	got, err := roots.Scan(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	content := func(path string) (a, b []byte, err error) {
		if a, err = reference.ReadFile(t.Context(), path); err != nil {
			return nil, nil, err
		}
		b, err = roots.ReadFile(t.Context(), root, path)
		return a, b, err
	}
	diffs := tree.Compare(reference.Manifest, got, tree.CompareOptions{})
	left, unused, err := exempt.Judge(diffs, list, os.Getuid() != 0, content)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range left {
		t.Errorf("%s%s", d, firstDifference(d, content))
	}
	return unused
}

// firstDifference shows the first line in which two files differ.
func firstDifference(d tree.Difference, content exempt.Trees) string {
	if d.Aspect != tree.Content {
		return ""
	}
	a, b, err := content(d.Path)
	if err != nil {
		return "\n" + err.Error()
	}
	la, lb := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range min(len(la), len(lb)) {
		if la[i] != lb[i] {
			return fmt.Sprintf("\n\tline %d: %.200q\n\tline %d: %.200q", i+1, la[i], i+1, lb[i])
		}
	}
	return fmt.Sprintf("\n\t%d lines against %d", len(la), len(lb))
}
