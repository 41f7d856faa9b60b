package fidelity

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossroot/crossroot/test/roots"
)

// verify finds no difference where there is none, and one where the policy is known to allow it.
func TestVerify(t *testing.T) {
	crossroot := build(t)
	first, root := roots.FirstStage(t, "armhf")
	tests := []struct {
		name, script string
		code         int
		want         string
	}{
		{"same", `sort /etc/passwd > /tmp/sorted; uname -m > /tmp/cpu; dpkg --print-architecture > /tmp/arch
			mkdir -p /tmp/d; ln -s d /tmp/l; perl -e 'printf "%s %s\n", $^X, $]' > /tmp/perl; tar -C /etc -cf /tmp/etc.tar default
			ldconfig; rm -f /etc/motd; chmod 600 /etc/issue; find /etc -name '*.conf' | sort | md5sum > /tmp/sum`, 0, " 0 differences"},
		{"word size", `perl -e 'print pack("l!", 1)' > /tmp/long`, 1, `content "tmp/long"`},
		{"blame", `perl -e 'print pack("l!", 1)' > /tmp/long; date +%N > /tmp/time; sort /etc/passwd > /tmp/sorted`, 1, "because of /usr/bin/perl, 1 times native"},
		{"exit status", `perl -e 'exit length pack("l!", 1)'`, 1, "exit status: 8 dispatched, 4 emulated"},
		{"stubs", `systemctl restart x 2>/dev/null; start-stop-daemon --start --exec /bin/true; echo $? > /tmp/status`, 0, " 0 differences"},
	}
	for _, tt := range tests {
		cmd := exec.CommandContext(t.Context(), crossroot, "verify", "-q", root, "--", "/bin/sh", "-c", tt.script)
		cmd.Env = append(append(os.Environ(), "CROSSROOT_TOOLS=host"), first.Arch.Env...)
		out, err := cmd.Output()
		code := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != tt.code || !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: exit %d, want %d with %q\n%s", tt.name, code, tt.code, tt.want, out)
		}
	}
}

// Each of two programs is blamed for what it did, and the rows that are written remove all differences.
func TestBlame(t *testing.T) {
	crossroot := build(t)
	first, root := roots.FirstStage(t, "armhf")
	dir := t.TempDir()
	od, rows := filepath.Join(dir, "od.toml"), filepath.Join(dir, "rows.toml")
	text := "[[row]]\nprograms = [\"od\"]\noutcome = \"native\"\nversion = \"any\"\nreason = \"a mistake\"\n"
	if err := os.WriteFile(od, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `perl -e 'print pack("l!", 1)' > /tmp/perl; sort /etc/passwd > /tmp/sorted; od -An -tdL /etc/issue > /tmp/od
		cat /tmp/perl /tmp/od > /tmp/both; date +%N > /tmp/time`
	verify := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), crossroot, append(append([]string{"verify", "-q"}, args...), root, "--", "/bin/sh", "-c", script)...)
		cmd.Env = append(append(os.Environ(), "CROSSROOT_TOOLS=host"), first.Arch.Env...)
		out, err := cmd.Output()
		return string(out), err
	}
	out, err := verify("--policy", od, "--fix", rows)
	if err == nil {
		t.Errorf("no difference\n%s", out)
	}
	for _, want := range []string{"because of /usr/bin/perl, 1 times native", "because of /usr/bin/od, 1 times native", "the differences are gone"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q\n%s", want, out)
		}
	}
	if out, err := verify("--twice", "--policy", rows); err != nil {
		t.Errorf("with the rows: %v\n%s", err, out)
	}
}
