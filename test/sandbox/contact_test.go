package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// C31: no descriptor of the caller's but 0 to 2 reaches the command, and these not as the caller's files.
func TestDescriptors(t *testing.T) {
	b := Setup(t)
	b.Probes()
	var extra []*os.File
	for _, name := range []string{"/", filepath.Join(b.Canary, "a"), "/etc/passwd", "/dev/null", b.Canary, b.Root} {
		f, err := os.Open(name)
		b.must(err)
		defer f.Close()
		extra = append(extra, f)
	}
	r := b.Crossroot(Options{Extra: extra}, "run", "--fidelity", "near", b.Root, "/probe", "fds")
	var numbers []string
	for line := range strings.Lines(r.Out) {
		n, to, _ := strings.Cut(strings.TrimSpace(line), " ")
		numbers = append(numbers, n)
		if strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/dev/") {
			b.Errorf("descriptor %s is %s", n, to)
		}
	}
	if !slices.Equal(numbers, []string{"0", "1", "2"}) {
		b.Errorf("descriptors %s:\n%s%s", numbers, r.Out, r.Err)
	}
	r = b.Crossroot(Options{Extra: extra}, "run", "--fidelity", "near", b.Root, "sh", "-c", "ls /proc/self/fd; readlink /proc/1/fd/*")
	if r.Out != "0\n1\n2\n3\n" { // 3 is the directory that ls reads
		b.Errorf("%q %s", r.Out, r.Err)
	}
}

// C31: regular files as standard streams can't be truncated, read or written elsewhere through /proc/self/fd.
func TestStandardFiles(t *testing.T) {
	b := Setup(t)
	log, in := filepath.Join(b.dir, "log"), filepath.Join(b.dir, "in")
	b.Write(log, "earlier lines\n")
	b.Write(in, "input\n")
	b.shell(`exec "$` + envDir + `"/crossroot run --fidelity near "$R" sh -c '
	(: > /proc/self/fd/1); truncate -s 0 /proc/self/fd/1 /proc/self/fd/2; cat < /proc/self/fd/1 & sleep 0.1; kill $!
	(echo evil > /proc/self/fd/0); cat; echo said; echo complained >&2' < ` + quote(in) + ` >> ` + quote(log) + ` 2>&1`)
	got := b.Read(log)
	if !strings.HasPrefix(got, "earlier lines\n") || !strings.Contains(got, "input\n") || !strings.Contains(got, "said\n") || !strings.Contains(got, "complained\n") {
		b.Errorf("the caller's log: %q", got)
	}
	if b.Read(in) != "input\n" {
		b.Error("the caller's input was written to")
	}
}

// C31: closed standard streams are no way in either, and nothing of crossroot's takes their place.
func TestClosedStreams(t *testing.T) {
	b := Setup(t)
	b.Probes()
	b.shell(`"$` + envDir + `"/crossroot run --fidelity near "$R" sh -c '/probe fds > /etc/fds; echo out; echo err >&2; true' <&- >&- 2>&-`)
	for line := range strings.Lines(b.Read(b.In("etc/fds"))) {
		if n, to, _ := strings.Cut(strings.TrimSpace(line), " "); to != "/dev/null" && n != "1" {
			b.Errorf("descriptor %s is %s", n, to)
		}
	}
}

// C35: the caller's working directory stays outside.
func TestWorkingDirectory(t *testing.T) {
	b := Setup(t)
	script := "pwd; ls -i -d . /; ls .. | head -3; cat ../x; cat ../canary/x; ls -l /proc/self/cwd"
	r := b.Crossroot(Options{Dir: filepath.Join(b.Canary, "below")}, "run", "--fidelity", "near", b.Root, "sh", "-c", script)
	if !strings.HasPrefix(r.Out, "/\n") || strings.Contains(r.Out, "secret") || strings.Contains(r.Out, "canary") {
		b.Errorf("%q", r.Out)
	}
	r = b.Crossroot(Options{Dir: b.Canary}, "run", "--workdir", "/etc", "--fidelity", "near", b.Root, "pwd")
	if r.Code != 0 || r.Out != "/etc\n" {
		b.Errorf("exit %d: %s%s", r.Code, r.Out, r.Err)
	}
	// A working directory inside that leads out, or isn't there.
	b.Replace("out", link(b.Canary))
	b.Replace("up", link("../../../.."))
	for _, dir := range []string{"/out", "/missing", "/etc/passwd", "/proc/1/cwd", "/proc/self/fd/0"} {
		r = b.Crossroot(Options{Dir: b.Canary}, "run", "--workdir", dir, "--fidelity", "near", b.Root, "cat", "x")
		if r.Code < 125 || r.Code > 127 || r.Out != "" {
			b.Errorf("--workdir %s: exit %d: %s%s", dir, r.Code, r.Out, r.Err)
		}
		b.oneLine(r.Err, dir)
	}
	r = b.Crossroot(Options{Dir: b.Canary}, "run", "--workdir", "/up/up/../etc", "--fidelity", "near", b.Root, "pwd")
	if r.Code != 0 || r.Out != "/etc\n" {
		b.Errorf("exit %d: %s%s", r.Code, r.Out, r.Err)
	}
}

// C36: the environment inside is a fixed one; the caller's variables do nothing to crossroot, and reach nobody.
func TestEnvironment(t *testing.T) {
	b := Setup(t)
	hostile := []string{
		"LD_PRELOAD=" + filepath.Join(b.Canary, "evil.so"), "LD_LIBRARY_PATH=" + b.Canary, "LD_AUDIT=x", "SSH_AUTH_SOCK=/run/agent",
		"AWS_SECRET_ACCESS_KEY=secret", "GODEBUG=inittrace=1", "GOTRACEBACK=crash", "GOMAXPROCS=1", "QEMU_LD_PREFIX=/", "QEMU_STRACE=1",
		"QEMU_LOG=page", "IFS=x", "ENV=" + filepath.Join(b.Canary, "evil.sh"), "BASH_ENV=/evil", "SHELLOPTS=xtrace", "PERL5LIB=/evil",
		"TMPDIR=/evil", "TERM=evil\x1b[2J", "HOME=/evil", "PATH=.:" + os.Getenv("PATH"), "CDPATH=/evil", "DISPLAY=:0", "LC_ALL=evil", "=odd", "bare",
		"CROSSROOT_CACHE=" + os.Getenv("CROSSROOT_CACHE"),
	}
	r := b.Crossroot(Options{Env: hostile}, "run", "--fidelity", "near", b.Root, "env")
	got := strings.Split(strings.TrimSpace(r.Out), "\n")
	slices.Sort(got)
	want := []string{
		"HOME=/root", "LOGNAME=root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SHELL=/bin/sh", "SYSTEMD_OFFLINE=1", "USER=root",
	}
	if !slices.Equal(got, want) || r.Code != 0 {
		b.Errorf("exit %d: environment inside %q, want %q: %s", r.Code, got, want, r.Err)
	}
	if n := strings.Count(r.Err, "init runtime @"); n != 1 {
		b.Errorf("GODEBUG reached %d processes, not crossroot's first alone: %s", n, r.Err)
	}
	// The processes of the run: what a script can read of others' environment is its own.
	r = b.Crossroot(Options{Env: hostile}, "run", "--fidelity", "near", b.Root, "sh", "-c", "cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -c -i evil")
	if r.Out != "0\n" {
		b.Errorf("%q %s", r.Out, r.Err)
	}
	r = b.Crossroot(Options{Env: hostile}, "run", "--env", "IFS=y", "--env", "PATH=/bin", "--fidelity", "near", b.Root, "sh", "-c", "echo $PATH")
	if r.Code != 0 || r.Out != "/bin\n" {
		b.Errorf("--env: exit %d: %s%s", r.Code, r.Out, r.Err)
	}
}

// C32 and C38: of the host's file system nothing is to be seen, neither its sockets nor its processes' files.
func TestNothingOfTheHost(t *testing.T) {
	b := Setup(t)
	out := b.Works("ls -d " + quote(b.Canary) + " " + quote(b.dir) + " /run/* /tmp/* /home/* /root/* /sys/* 2> /dev/null; sed -n '/[/@]/p' /proc/net/unix; grep -c : /proc/net/dev")
	if out != "/run/lock\n1\n" { // the target's own; no socket with a name; the loopback
		b.Errorf("%q", out)
	}
}

// The demonstration is a test of its own: its checks are real.
func TestDemo(t *testing.T) {
	b := Setup(t)
	r := b.Crossroot(Options{}, "demo")
	if r.Code != 0 || !strings.Contains(r.Out, "This machine is unchanged.") || strings.Contains(r.Out, "✗") || strings.Contains(r.Out, "\x1b") || r.Err != "" {
		b.Errorf("exit %d:\n%s%s", r.Code, r.Out, r.Err)
	}
	kept := filepath.Join(b.dir, "kept")
	r = b.Crossroot(Options{}, "demo", "--keep-dir", kept)
	if r.Code != 0 || !strings.Contains(r.Out, kept) {
		b.Errorf("exit %d:\n%s%s", r.Code, r.Out, r.Err)
	}
	r = b.Crossroot(Options{}, "run", "--fidelity", "near", kept, "tail", "-n1", "/etc/passwd")
	if r.Code != 0 || r.Out != "app::0:0::/:/bin/sh\n" {
		b.Errorf("exit %d: %s%s", r.Code, r.Out, r.Err)
	}
	r = b.Crossroot(Options{}, "demo", "--keep-dir", kept)
	if r.Code != failed || r.Out != "" {
		b.Errorf("exit %d: %s", r.Code, r.Out)
	}
	b.oneLine(r.Err, kept, "not an empty directory")
}
