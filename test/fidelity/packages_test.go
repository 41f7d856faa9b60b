package fidelity

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/test/roots"
)

// packages bring scripts of many kinds: users, services, keys, caches, alternatives, byte code.
var packages = []string{"cron", "dbus", "openssl", "python3-minimal", "ssl-cert", "systemd"}

// Packages that are installed with programs of a twin, which follows what the run installs, leave what they leave when
// everything is emulated.
func TestPackages(t *testing.T) {
	crossroot := build(t)
	first, _ := roots.FirstStage(t, "armhf")
	cache, err := roots.Open()
	if err != nil {
		t.Fatal(err)
	}
	stage, err := cache.WithArchives(t.Context(), roots.Reference(t, first), packages...)
	if err != nil {
		t.Fatal(err)
	}
	install := append([]string{"/usr/bin/env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-y", "-o", "Dpkg::Use-Pty=0",
		"install", "--no-install-recommends", "--no-download"}, packages...)
	args := []string{"verify", "--json", "--blame", "never", "--tools", "twin", roots.Copy(t, stage), "--"}
	cmd := exec.CommandContext(t.Context(), crossroot, append(args, install...)...)
	cmd.Env = append(os.Environ(), first.Arch.Env...)
	out, err := cmd.Output()
	var r struct {
		Same        bool
		Differences []struct{ Path, Aspect, Exempt string }
		Dispatched  struct {
			Seconds float64
			Report  protocol.Report
		}
		Emulated struct{ Seconds float64 }
	}
	if jsonErr := json.Unmarshal(out, &r); jsonErr != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, d := range r.Differences {
		if d.Exempt == "" {
			t.Errorf("%s of %s differs", d.Aspect, d.Path)
		}
	}
	native, all := 0, 0
	for _, p := range r.Dispatched.Report.Programs {
		all += p.Count
		if p.Outcome == policy.Native {
			native += p.Count
		}
	}
	if err != nil || !r.Same || all < 250 || native*100 < all*98 {
		t.Errorf("%v, same %v, %d of %d executions native", err, r.Same, native, all)
		for _, p := range r.Dispatched.Report.Programs {
			if p.Outcome != policy.Native {
				t.Logf("%d %s %s: %s", p.Count, p.Outcome, p.Path, p.Reason)
			}
		}
	}
	t.Logf("%d executions, dispatched in %.1f s, emulated in %.1f s", all, r.Dispatched.Seconds, r.Emulated.Seconds)
}
