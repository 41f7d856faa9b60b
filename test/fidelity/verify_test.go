package fidelity

import (
	"errors"
	"os"
	"os/exec"
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
		cmd.Env = append(os.Environ(), first.Arch.Env...)
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
