package transaction

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/crossroot/crossroot/internal/kernel/at"
	"github.com/google/go-cmp/cmp"
)

// forged is an upper that no overlay made.
func forged(t *testing.T, before string) *lab {
	l := newLab(t, "tmpfs", "tmpfs")
	sh(t, l.root, before)
	must(t, Seed(l.open(l.upper), l.open(l.root)))
	return l
}

func whiteout(t *testing.T, path string) {
	t.Helper()
	must(t, syscall.Mknod(path, syscall.S_IFCHR, 0))
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		before string
		forge  func(t *testing.T, root, up string)
		path   string
		why    string
	}{
		"redirect": {"mkdir d", func(t *testing.T, _, up string) {
			must(t, os.Mkdir(up+"/d", 0o755))
			set(t, up+"/d", "user.overlay.redirect", "/etc")
		}, "/d", "user.overlay.redirect"},
		"metacopy": {"echo x >f", func(t *testing.T, _, up string) {
			write(t, up+"/f", "")
			set(t, up+"/f", "user.overlay.metacopy", "")
		}, "/f", "user.overlay.metacopy"},
		"unknown attribute deep in a new tree": {"", func(t *testing.T, _, up string) {
			write(t, up+"/a/b/f", "")
			set(t, up+"/a/b/f", "user.overlay.future", "")
		}, "/a/b/f", "user.overlay.future"},
		"nested overlay's attribute": {"", func(t *testing.T, _, up string) {
			write(t, up+"/f", "")
			set(t, up+"/f", "user.overlay.overlay.opaque", "y")
		}, "/f", "user.overlay.overlay.opaque"},
		"odd opaque": {"mkdir d", func(t *testing.T, _, up string) {
			must(t, os.Mkdir(up+"/d", 0o755))
			set(t, up+"/d", "user.overlay.opaque", "z")
		}, "/d", "user.overlay.opaque"},
		"opaque top": {"", func(t *testing.T, _, up string) {
			set(t, up, "user.overlay.opaque", "y")
		}, "/", "opaque"},
		"whiteout in a new directory": {"", func(t *testing.T, _, up string) {
			must(t, os.Mkdir(up+"/d", 0o755))
			whiteout(t, up+"/d/w")
		}, "/d/w", "marked as deleted"},
		"whiteout attribute without leave": {"echo x >f", func(t *testing.T, _, up string) {
			write(t, up+"/f", "")
			set(t, up+"/f", "user.overlay.whiteout", "y")
		}, "/f", "marked as deleted"},
		"lower with an overlay attribute": {"mkdir d; echo x >d/f", func(t *testing.T, root, up string) {
			set(t, root+"/d", "user.overlay.opaque", "y")
			write(t, up+"/d/f", "y")
		}, "/d", "setfattr -x user.overlay.opaque"},
		"lower file with an overlay attribute": {"echo x >f", func(t *testing.T, root, up string) {
			set(t, root+"/f", "user.overlay.metacopy", "")
			write(t, up+"/f", "y")
		}, "/f", "setfattr -x"},
		"lower device 0:0": {"", func(t *testing.T, root, up string) {
			whiteout(t, root+"/f")
			write(t, up+"/f", "y")
		}, "/f", "0:0"},
		"path too long": {"", func(t *testing.T, _, up string) {
			deep(t, up, strings.Repeat("n", 255), 70)
		}, "", "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			l := forged(t, c.before)
			c.forge(t, l.root, l.upper)
			before := manifest(t, l.root)
			p, err := l.inspect()
			var refusal *Refusal
			if !errors.As(err, &refusal) || c.path != "" && refusal.Path != c.path || !strings.Contains(err.Error(), c.why) {
				t.Errorf("Inspect: %v, plan %v", err, p)
			}
			unchanged(t, l, before)
		})
	}
}

// deep makes a chain of directories too long for one path; it works by descriptors.
func deep(t *testing.T, dir, name string, n int) {
	t.Helper()
	fd, err := syscall.Open(dir, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	must(t, err)
	for range n {
		must(t, syscall.Mkdirat(fd, name, 0o755))
		next, err := syscall.Openat(fd, name, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
		must(t, err)
		syscall.Close(fd)
		fd = next
	}
	f, err := syscall.Openat(fd, "leaf", syscall.O_CREAT|syscall.O_WRONLY, 0o644)
	must(t, err)
	syscall.Close(f)
	syscall.Close(fd)
}

// TestDeepTree is A10: deeper than PATH_MAX, with a bounded number of descriptors, both staged and merged.
func TestDeepTree(t *testing.T) {
	var limit, low syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	low = limit
	low.Cur = 200
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low))
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)

	const depth = 3000
	l := newLab(t, "tmpfs", "tmpfs")
	deep(t, l.upper, "d", depth)
	p := l.commit()
	if n := len(p.Changes()); n != depth+1 {
		t.Errorf("%d changes", n)
	}
	removeAll(t, l.upper)
	must(t, os.Mkdir(l.upper, 0o755))
	deep(t, l.upper, "d", depth) // everything merges now, the leaf is new
	if p = l.commit(); p.Totals().Changed != 1 {
		t.Errorf("second commit: %+v", p.Totals())
	}
	removeAll(t, l.upper)
	must(t, os.Mkdir(l.upper, 0o755))
	whiteout(t, l.upper+"/d")
	if p = l.commit(); p.Totals().Deleted != depth+1 {
		t.Errorf("deletion: %+v", p.Totals())
	}
	noStage(t, l)
	if _, err := os.Lstat(l.root + "/d"); !os.IsNotExist(err) {
		t.Error("still there:", err)
	}
}

func TestWhiteoutAttributes(t *testing.T) {
	l := forged(t, "mkdir d; echo x >d/f; echo y >d/g")
	must(t, os.Mkdir(l.upper+"/d", 0o755))
	write(t, l.upper+"/d/f", "")
	set(t, l.upper+"/d", "user.overlay.opaque", "x")
	set(t, l.upper+"/d/f", "user.overlay.whiteout", "y")
	must(t, Seed(l.open(l.upper), l.open(l.root)))
	p := l.commit()
	if d := cmp.Diff([]string{"deleted file /d/f"}, list(p)); d != "" {
		t.Error(d)
	}
	if read(t, l.root+"/d/g") != "y\n" {
		t.Error("the neighbour is gone")
	}
}

func TestSockets(t *testing.T) {
	for _, spool := range []string{"tmpfs", "disk"} {
		l := newLab(t, "disk", spool)
		sh(t, l.root, "mkdir run; echo x >run/s")
		l.run(func(m string) {
			sh(t, m, "rm run/s; mkdir n; touch n/f")
			for _, name := range []string{"/run/s", "/run/t", "/n/u"} {
				listen(t, m+name)
			}
			sh(t, m, "touch -d @7 n")
		})
		p := l.commit()
		want := []string{"added directory /n", "added file /n/f", "deleted file /run/s"}
		if d := cmp.Diff(want, list(p)); d != "" {
			t.Error(d)
		}
		if len(p.Warnings()) != 3 || !strings.Contains(p.Warnings()[0], "socket") {
			t.Errorf("warnings: %q", p.Warnings())
		}
		for path := range l.view {
			if base := filepath.Base(path); base == "s" || base == "t" || base == "u" {
				delete(l.view, path)
			}
		}
		l.same()
	}
}

func listen(t *testing.T, path string) {
	t.Helper()
	here, err := os.Getwd()
	must(t, err)
	must(t, os.Chdir(filepath.Dir(path))) // a socket's path has 108 bytes
	defer os.Chdir(here)
	s, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Base(path)})
	must(t, err)
	s.SetUnlinkOnClose(false)
	s.Close()
}

func TestDropAndNodes(t *testing.T) {
	for _, spool := range []string{"tmpfs", "disk"} {
		l := newLab(t, "disk", spool)
		sh(t, l.root, "mkdir dev; touch -d @1000 dev .")
		before := manifest(t, l.root)
		l.o.Drop = []string{"/.cr", "/proc", "/dev/pts", "/n/mnt"}
		l.run(func(m string) { sh(t, m, "mkdir .cr proc dev/pts") })
		p := l.commit()
		if !p.Empty() {
			t.Errorf("mount points count as changes: %q", list(p))
		}
		unchanged(t, l, before)

		made := map[string]Node{}
		l.o.Nodes = map[string]Node{"/dev/null": {Major: 1, Minor: 3, Mode: 0o666}, "/n/full": {Major: 1, Minor: 7, Mode: 0o640}, "/gone": {}}
		l.run(func(m string) { sh(t, m, "mkdir -p n/mnt; touch dev/null n/full; touch -d @5 n") })
		l.o.MakeNode = func(dir *os.File, name string, n Node) error {
			made[name] = n
			return syscall.Mknodat(int(dir.Fd()), name, syscall.S_IFIFO|0o600, 0) // no privilege for a real one here
		}
		l.commit()
		if len(made) != 2 {
			t.Errorf("made %v", made)
		}
		after := manifest(t, l.root)
		if !strings.HasPrefix(after["/dev/null"], "10666 0:0") || !strings.HasPrefix(after["/n/full"], "10640 0:0") {
			t.Errorf("nodes: %q", after)
		}
		if after["/n"] != l.view["/n"] || after["/n/mnt"] != "" {
			t.Errorf("directory of the node: %q, seen %q", after["/n"], l.view["/n"])
		}
	}
}

func TestNodesReported(t *testing.T) {
	l := newLab(t, "disk", "tmpfs")
	sh(t, l.root, "mkdir dev")
	l.o.Nodes = map[string]Node{"/dev/null": {Major: 1, Minor: 3, Mode: 0o666}}
	l.run(func(m string) { sh(t, m, "touch dev/null") })
	p := l.commit()
	if _, err := os.Lstat(l.root + "/dev/null"); !os.IsNotExist(err) {
		t.Error("the placeholder was committed:", err)
	}
	if w := p.Warnings(); len(w) != 1 || !strings.Contains(w[0], `"/dev/null"`) {
		t.Errorf("warnings %q", w)
	}
}

// TestRenamingAttacker is A30 and C46: a directory of the root and a link out of it change places all the time.
func TestRenamingAttacker(t *testing.T) {
	l := newLab(t, "disk", "tmpfs")
	canary := filepath.Join(filepath.Dir(l.root), "canary")
	write(t, canary+"/f", "precious")
	before := manifest(t, canary)
	sh(t, l.root, "mkdir -p etc/sub; echo x >etc/f; echo x >etc/sub/f; ln -s ../canary evil")
	l.run(func(m string) {
		sh(t, m, "echo y >etc/f; for i in 1 2 3 4 5 6 7 8 9; do echo y >etc/$i; echo y >etc/sub/$i; done")
	})
	l.o.Started = at.Time{}
	dir := l.open(l.root)
	for range 100 {
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
					exchange(dir, "etc", "evil")
				}
			}
		}()
		if p, err := l.inspect(); err == nil {
			p.Commit(context.Background())
		}
		close(stop)
		<-done
	}
	if d := cmp.Diff(before, manifest(t, canary)); d != "" {
		t.Errorf("the canary changed:\n%s", d)
	}
}
