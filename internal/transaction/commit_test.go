package transaction

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sh runs a line of shell in dir.
func sh(t testing.TB, dir, line string) {
	t.Helper()
	cmd := exec.Command("sh", "-euc", line)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sh -c %q: %v\n%s", line, err, out)
	}
}

// acl is an ACL in the kernel's form that gives user 0 the rights r-- besides the owner.
const acl = "\x02\x00\x00\x00" +
	"\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\x00\x00\x00\x00" +
	"\x04\x00\x05\x00\xff\xff\xff\xff" + "\x10\x00\x05\x00\xff\xff\xff\xff" + "\x20\x00\x05\x00\xff\xff\xff\xff"

// capability is cap_net_raw+ep, revision 2.
const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func set(t testing.TB, path, attr, val string) {
	t.Helper()
	if err := syscall.Setxattr(path, attr, []byte(val), 0); err != nil {
		t.Fatalf("set %s of %s: %v", attr, path, err)
	}
}

// cases are what a run may do, each with what is reported of it. What ROOT is afterwards is compared with what the
// overlay showed.
var cases = []struct {
	name   string
	before string // shell, in the root
	run    func(t testing.TB, m string)
	script string // shell, in the overlay
	want   []string
}{
	{name: "nothing", before: "echo x >f"},
	{name: "only read", before: "mkdir d; echo x >d/f", script: "cat d/f; ls -l d"},
	{name: "opened for writing", before: "mkdir d; echo x >d/f", script: ": >>d/f"},
	{name: "new file", script: "echo x >f; chmod 4711 f", want: []string{"added file /f"}},
	{name: "changed file", before: "mkdir -p a/b; echo x >a/b/f; echo y >a/g", script: "echo z >>a/b/f",
		want: []string{"changed file /a/b/f"}},
	{name: "mode only", before: "echo x >f", script: "chmod 2755 f", want: []string{"metadata file /f"}},
	{name: "times only", before: "echo x >f; ln -s f l", script: "touch -h -d @12345.678901234 l f",
		want: []string{"changed file /f", "metadata symlink /l"}},
	{name: "deleted", before: "mkdir d e; echo x >d/f; ln -s f d/l; echo x >e/f", script: "rm -r d e/f",
		want: []string{"deleted directory /d", "deleted file /d/f", "deleted symlink /d/l", "deleted file /e/f"}},
	{name: "deleted and made again", before: "mkdir -p d/sub; echo x >d/f; echo x >d/g; echo y >d/sub/h",
		script: "rm -r d; mkdir d; echo z >d/f; mkdir d/sub; mkdir d/new",
		want: []string{"changed directory /d", "changed file /d/f", "deleted file /d/g", "added directory /d/new",
			"deleted file /d/sub/h"}},
	{name: "renamed file", before: "mkdir a b; echo x >a/f", script: "mv a/f b/g",
		want: []string{"deleted file /a/f", "added file /b/g"}},
	{name: "new tree", script: "mkdir -p a/b/c; echo x >a/b/f; chmod 1777 a/b; chmod 000 a/b/c; touch -d @99 a",
		want: []string{"added directory /a", "added directory /a/b", "added directory /a/b/c", "added file /a/b/f"}},
	{name: "new tree renamed over an empty one", before: "mkdir d; echo x >d/f", script: "rm d/f; mkdir n; echo y >n/g; mv -T n d",
		want: []string{"changed directory /d", "deleted file /d/f", "added file /d/g"}},
	{name: "directory to file", before: "mkdir d; echo x >d/f", script: "rm -r d; echo y >d",
		want: []string{"changed file /d", "deleted file /d/f"}},
	{name: "directory to symlink", before: "mkdir d e; echo x >d/f", script: "rm -r d; ln -s e d",
		want: []string{"changed symlink /d", "deleted file /d/f"}},
	{name: "file to directory", before: "echo x >f; ln -s f l", script: "rm f l; mkdir f l; echo y >f/g",
		want: []string{"changed directory /f", "added file /f/g", "changed directory /l"}},
	{name: "symlink changed", before: "ln -s a l; ln -s a m", script: "ln -sfn b l; ln -sfn a m",
		want: []string{"changed symlink /l", "metadata symlink /m"}},
	{name: "fifo", script: "mkfifo -m 640 p; mkdir d; mkfifo d/q", want: []string{"added directory /d", "added fifo /d/q", "added fifo /p"}},
	{name: "hard links", before: "mkdir d; echo x >d/f", script: "ln d/f d/g; echo y >h; ln h i; mkdir n; ln h n/j; ln -s x s; ln s n/t",
		want: []string{"metadata file /d/f", "added file /d/g", "added file /h", "added file /i", "added directory /n",
			"added file /n/j", "added symlink /n/t", "added symlink /s"}},
	{name: "directory metadata", before: "mkdir -p d/e; echo x >d/e/f", script: "chmod 3770 d; touch -d @5 d/e",
		want: []string{"metadata directory /d", "metadata directory /d/e"}},
	{name: "top directory", script: "chmod 1755 .; touch -d @77.5 .", want: []string{"metadata directory /"}},
	{name: "directory of mode 0000", before: "mkdir d; echo x >d/f; mkdir e; chmod 0 e", script: "echo y >d/f; chmod 0 d; mkdir n; echo z >n/f; chmod 0 n",
		want: []string{"metadata directory /d", "changed file /d/f", "added directory /n", "added file /n/f"}},
	{name: "sparse", script: "truncate -s 30M f; printf x | dd of=f bs=1 seek=10000000 conv=notrunc status=none; truncate -s 20M g; printf y >h; truncate -s 70000 h",
		want: []string{"added file /f", "added file /g", "added file /h"}},
	{name: "large", script: "head -c 9000001 /dev/zero | tr '\\0' q >f", want: []string{"added file /f"}},
	{name: "names", run: func(t testing.TB, m string) {
		for _, n := range []string{"a\nb\x1b[2J\xff\xfe", strings.Repeat("n", 255), "-rf", " ", "trailing ", "\\", "0:0"} {
			write(t, filepath.Join(m, n), n)
			write(t, filepath.Join(m, "d"+n[:1], n), n)
		}
	}},
	{name: "attributes", before: "echo x >f; mkdir d", run: func(t testing.TB, m string) {
		set(t, m+"/f", "user.note", "n")
		set(t, m+"/f", "security.capability", capability)
		set(t, m+"/d", "user.empty", "")
		set(t, m+"/d", "system.posix_acl_access", acl)
		set(t, m+"/d", "system.posix_acl_default", acl)
		write(t, m+"/d/inherits", "x")
		must(t, os.Mkdir(m+"/d/sub", 0o755))
		must(t, syscall.Mkfifo(m+"/d/fifo", 0o600))
	}, want: []string{"metadata directory /d", "added fifo /d/fifo", "added file /d/inherits", "added directory /d/sub", "metadata file /f"}},
	{name: "attributes removed", run: func(t testing.TB, m string) {
		must(t, syscall.Removexattr(m+"/d", "user.note"))
		must(t, syscall.Removexattr(m+"/d", "system.posix_acl_default"))
		must(t, syscall.Removexattr(m+"/f", "user.note"))
	}, before: "mkdir d; touch f", want: []string{"metadata directory /d", "metadata file /f"}},
	{name: "times before 1970 and after 2106", script: "echo x >f; touch -d @-1000.25 f; mkdir d; touch -d @5000000000 d",
		want: []string{"added directory /d", "added file /f"}},
	{name: "setgid directory and set-id files", before: "mkdir d; chmod 2775 d", script: "echo x >d/f; mkdir d/s; chmod 6755 d/f",
		want: []string{"added file /d/f", "added directory /d/s"}},
}

func TestCommit(t *testing.T) {
	for _, place := range []struct{ root, spool string }{{"disk", "tmpfs"}, {"tmpfs", "tmpfs"}, {"disk", "disk"}} {
		for _, c := range cases {
			t.Run(place.root+"-"+place.spool+"/"+c.name, func(t *testing.T) {
				l := newLab(t, place.root, place.spool)
				sh(t, l.root, c.before)
				if c.name == "attributes removed" {
					set(t, l.root+"/d", "user.note", "n")
					set(t, l.root+"/d", "system.posix_acl_default", acl)
					set(t, l.root+"/f", "user.note", "n")
				}
				l.run(func(m string) {
					if c.run != nil {
						c.run(t, m)
					}
					sh(t, m, c.script)
				})
				p := l.commit()
				l.same()
				if d := cmp.Diff(c.want, list(p)); c.want != nil && d != "" {
					t.Errorf("changes (-want +got):\n%s", d)
				}
				if w := p.Warnings(); len(w) > 0 {
					t.Errorf("unexpected warnings: %q", w)
				}
				if len(c.want) == 0 && c.run == nil && !p.Empty() {
					t.Errorf("plan for nothing: %q", list(p))
				}
				noStage(t, l)
			})
		}
	}
}

func noStage(t *testing.T, l *lab) {
	t.Helper()
	left, err := Leftovers(l.open(l.root))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("stage left behind: %q", left)
	}
}

func TestOwners(t *testing.T) {
	if !manyIDs() {
		return // one id only: there are no other owners
	}
	l := newLab(t, "disk", "tmpfs")
	sh(t, l.root, "echo x >f; mkdir d; chown 1:2 d; echo y >g; chown 3:4 g; ln -s f l")
	l.run(func(m string) {
		sh(t, m, "chown 10:20 f; chmod 6755 f; chown 11:21 d; echo z >g; chown -h 5:6 l; mkdir -p n/m; echo x >n/f; chown -R 7:8 n; mkfifo p; chown 9:9 p")
		set(t, m+"/f", "security.capability", capability)
	})
	p := l.commit()
	l.same()
	want := []string{"metadata directory /d", "metadata file /f", "changed file /g", "metadata symlink /l",
		"added directory /n", "added file /n/f", "added directory /n/m", "added fifo /p"}
	if d := cmp.Diff(want, list(p)); d != "" {
		t.Error(d)
	}
}

// TestInodesAreReplaced is A13: another name of an inode, outside of the root, must not see what the run did.
func TestInodesAreReplaced(t *testing.T) {
	for _, spool := range []string{"tmpfs", "disk"} {
		l := newLab(t, "disk", spool)
		canary := filepath.Join(filepath.Dir(l.root), "canary")
		write(t, canary, "precious\n")
		must(t, os.Chtimes(canary, time.Unix(1, 0), time.Unix(2, 0)))
		must(t, os.Link(canary, l.root+"/f"))
		must(t, os.Link(canary, l.root+"/g"))
		before := manifest(t, canary)
		l.run(func(m string) { sh(t, m, "echo broken >f; chmod 777 g") })
		p := l.commit()
		if read(t, l.root+"/f") != "broken\n" || len(p.Changes()) != 2 {
			t.Errorf("not committed: %q", list(p))
		}
		after := manifest(t, canary)
		if strings.TrimSuffix(before[""], " link ") != strings.TrimSuffix(after[""], " link ") {
			t.Errorf("the host's file changed: %q to %q", before, after)
		}
	}
}
