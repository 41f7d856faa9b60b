package wrap

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Exit codes are the command's, or crossroot's own.
func TestExitCodes(t *testing.T) {
	b := Setup(t)
	for script, want := range map[string]int{
		"true": 0, "exit 7": 7, "kill -TERM $$": 128 + 15, "kill -KILL $$": 128 + 9, "chroot $R sh -c 'exit 5'": 5, "chroot $R sh -c 'kill -9 $$'": 128 + 9,
	} {
		if r := b.Wrap(script); r.Code != want || r.Out != "" {
			b.Errorf("%s: exit %d, want %d: %s%s", script, r.Code, want, r.Out, r.Err)
		}
	}
	for _, tt := range []struct {
		args  string
		code  int
		words string
	}{
		{"wrap -- no-such-command", 127, `no-such-command`},
		{"wrap -- /", 126, "/"},
		{"wrap", failed, "no COMMAND"},
		{"wrap --net maybe true", failed, "host, none"},
		{"wrap --fidelity better true", failed, "exact, near"},
		{"wrap --rw /tmp true", failed, "--protect"},
		{"wrap --protect --rw /no/such true", failed, "--rw"},
		{"wrap --timeout -1s true", failed, "--timeout"},
		{"wrap --tools /no/such true", failed, "a directory"},
		{"wrap --policy /no/such true", failed, "/no/such"},
		{"wrap --wrong true", failed, "--wrong"},
	} {
		r := b.Crossroot(strings.Fields(tt.args)...)
		if r.Code != tt.code || !strings.Contains(r.Err, tt.words) || r.Out != "" {
			b.Errorf("%s: exit %d, want %d with %q: %s", tt.args, r.Code, tt.code, tt.words, r.Err)
		}
	}
}

// What the command finds is what it would find without: environment, directory, umask, limits, streams, arguments.
func TestSurroundings(t *testing.T) {
	b := Setup(t)
	for _, script := range []string{
		"umask 027; $W sh -c umask", "ulimit -Sn 77; $W sh -c 'ulimit -Sn'", "cd /usr; $W pwd", "$W pwd", "$W cat /proc/self/oom_score_adj", "nice -n 3 $W nice",
		"env | grep -v '^_' | sort; X='a b' $W sh -c 'echo $X'", "$W env | grep -v '^_' | sort", "echo in | $W cat", "$W sh -c 'echo $#:$1:$2' x 'a b' ''",
		"$W printf '%s' ''", "$W sh -c 'echo error >&2' 2>&1", "umask 0; $W sh -c 'umask'",
	} {
		plain := b.shell(strings.ReplaceAll(script, "$W", ""))
		wrapped := b.shell(strings.ReplaceAll(script, "$W", "$CROSSROOT wrap -q --"))
		if plain != wrapped {
			b.Errorf("%s: %q, without wrap %q", script, wrapped, plain)
		}
	}
	if id := strings.TrimSpace(b.shell("$CROSSROOT wrap -- id -u")); id != "0" {
		b.Errorf("uid %s", id)
	}
}

// shell runs a script of the host's.
func (b *Box) shell(script string) string {
	b.Helper()
	c := b.command(b.Context(), "")
	c.Path, c.Args = "/bin/sh", []string{"sh", "-c", script}
	out, err := c.CombinedOutput()
	if err != nil {
		b.Errorf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// Whoever reads the command's output sees its end when the command has closed it, though the wrap goes on.
func TestPipesEnd(t *testing.T) {
	b := Setup(t)
	out := b.shell(`began=$(date +%s); $CROSSROOT wrap -- sh -c 'chroot $R uname -m; exec >/dev/null 2>&1; sleep 5' | { cat; echo $(( $(date +%s) - began < 4 )); }`)
	if out != native+"1\n" {
		b.Errorf("%q", out)
	}
	// Background processes end with the command, as the wrap does: the pipe ends too.
	out = b.shell(`began=$(date +%s); $CROSSROOT wrap -- sh -c 'sleep 50 & echo x' | { cat; echo $(( $(date +%s) - began < 20 )); }`)
	if out != "x\n1\n" {
		b.Errorf("%q", out)
	}
}

// --protect: everything is read-only but the working directory and --rw, whatever the builder tries.
func TestProtect(t *testing.T) {
	b := Setup(t)
	for _, dir := range []string{"in", "rw", "out"} {
		b.must(os.Mkdir(filepath.Join(b.dir, dir), 0o755))
	}
	script := `cd $D/in
: > $D/in/a && : > $D/rw/a && : > /tmp/a && echo writes
(: > $D/out/a) 2>/dev/null || echo refused
(: > $R/etc/a) 2>/dev/null || echo refused
mount -o remount,rw / 2>/dev/null
mount -o remount,bind,rw / 2>/dev/null
mount -o remount,bind,rw $D 2>/dev/null
mkdir -p $D/in/m; mount --bind $D/out $D/in/m 2>/dev/null; (: > $D/in/m/a) 2>/dev/null; mount -o remount,bind,rw $D/in/m 2>/dev/null; (: > $D/in/m/a) 2>/dev/null
mount --rbind / $D/in/m 2>/dev/null; (: > $D/in/m/$D/out/b) 2>/dev/null
unshare -m sh -c "mount -o remount,bind,rw /; : > $D/out/c" 2>/dev/null
unshare -rm sh -c "mount -o remount,bind,rw /; : > $D/out/d" 2>/dev/null
umount -R -l / 2>/dev/null
(: > /proc/1/root$D/out/e) 2>/dev/null
(: > /proc/$PPID/root$D/out/f) 2>/dev/null
nsenter -t 1 -m sh -c ": > $D/out/g" 2>/dev/null
true`
	c := []string{"wrap", "--protect", "--rw", filepath.Join(b.dir, "rw"), "--", "sh", "-c", script}
	cmd := b.command(b.Context(), c...)
	cmd.Dir = filepath.Join(b.dir, "in")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "writes\nrefused\nrefused\n" {
		b.Errorf("%v: %s", err, out)
	}
	if names, _ := filepath.Glob(filepath.Join(b.dir, "out", "*")); len(names) > 0 {
		b.Errorf("written: %q", names)
	}
	for _, name := range []string{"in/a", "rw/a"} {
		if _, err := os.Stat(filepath.Join(b.dir, name)); err != nil {
			b.Error(err)
		}
	}
	// A root below the working directory serves.
	cmd = b.command(b.Context(), "wrap", "--protect", "--", "chroot", b.Root, "uname", "-m")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != native {
		b.Errorf("%v: %s", err, out)
	}
}

// --no-sync: nothing waits for the disk.
func TestNoSync(t *testing.T) {
	b := Setup(t)
	b.Prints("asked\n", "$P sync")
	b.Prints("not asked\n", "$P sync", "--no-sync")
	b.Prints("not asked\n", "chroot $R /probe sync 2>/dev/null || $P sync", "--no-sync")
}

// --net none: no network but a loopback that is down.
func TestNet(t *testing.T) {
	b := Setup(t)
	b.Prints("lo\n", "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '", "--net", "none")
	if !isRoot() {
		return
	}
	if host, wrapped := b.shell("cat /proc/net/route"), b.Wrap("cat /proc/net/route").Out; host != wrapped {
		b.Errorf("host %q, wrapped %q", host, wrapped)
	}
}

// --timeout ends everything in time.
func TestTimeout(t *testing.T) {
	b := Setup(t)
	began := time.Now()
	r := b.Wrap("trap '' TERM INT HUP; chroot $R sh -c 'trap \"\" TERM INT HUP; sleep 1000' & sleep 1000", "--timeout", "1500ms")
	if r.Code != 124 || !strings.Contains(r.Err, "1.5s") || time.Since(began) > 10*time.Second {
		b.Errorf("exit %d after %v: %s", r.Code, time.Since(began), r.Err)
	}
	b.gone()
}

// What is told at the end, to people and to machines.
func TestReport(t *testing.T) {
	b := Setup(t)
	script := "chroot $R uname -m >/dev/null; chroot $R sh -c ': $(/foreign hello) $(ls /)'"
	r := b.Wrap(script, "-v")
	for _, want := range []string{`root \S+/root \(armhf\): tools from this machine's programs`, `(?m)native.*2|3`, `emulated`, `/foreign`, `time \d+\.\d\d s`} {
		if !regexp.MustCompile(want).MatchString(r.Err) {
			b.Errorf("no %q in:\n%s", want, r.Err)
		}
	}
	r = b.Wrap(script, "--json")
	var summary struct {
		Event      string
		Roots      int
		Executions map[string]int
	}
	lines := strings.Split(strings.TrimSpace(r.Err), "\n")
	b.must(json.Unmarshal([]byte(lines[len(lines)-1]), &summary))
	if summary.Event != "summary" || summary.Roots != 1 || summary.Executions["native"] < 3 || summary.Executions["emulated"]+summary.Executions["emulate"] != 1 {
		b.Errorf("%s", r.Err)
	}
	if n := b.Count(script); n["native"] < 3 || n["emulate"] != 1 {
		b.Errorf("%v", n)
	}
	if r = b.Wrap(script, "-q"); r.Err != "" {
		b.Errorf("quiet: %q", r.Err)
	}
}

// A wrap, a run and a verification below a wrap: the first is as good as one, the others say what to do.
func TestNested(t *testing.T) {
	b := Setup(t)
	b.Prints(native, "$CROSSROOT wrap -- chroot $R uname -m")
	b.Prints(native+"3\n", "$CROSSROOT wrap -- sh -c 'chroot $R $1; exit 3' x 'uname -m' || echo $?")
	b.Prints("127\n137\n", "$CROSSROOT wrap -- no-such 2>/dev/null; echo $?; $CROSSROOT wrap -- sh -c 'kill -9 $$'; echo $?")
	b.Prints("124\n", "$CROSSROOT wrap --timeout 300ms -- sleep 100 2>/dev/null; echo $?")
	for _, inner := range []string{"wrap --protect -- true", "wrap --net none -- true", "run $R -- true", "verify $R -- true"} {
		r := b.Wrap("$CROSSROOT " + inner)
		if r.Code == 0 || !strings.Contains(r.Err, "inside a wrap") {
			b.Errorf("%s: exit %d: %s", inner, r.Code, r.Err)
		}
	}
}

// Root of a namespace with a single id, whose groups can't be dropped, is root enough.
func TestSmallNamespace(t *testing.T) {
	b := Setup(t)
	if out := b.shell("unshare -rm $CROSSROOT wrap -- chroot $R uname -m"); out != native {
		b.Errorf("%q", out)
	}
	b.gone()
}
