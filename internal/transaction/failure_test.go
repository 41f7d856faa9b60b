package transaction

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/crossroot/crossroot/internal/kernel/at"
	"github.com/google/go-cmp/cmp"
)

// busy is a run with something of every kind, and the root that it starts from.
const (
	busyBefore = "mkdir -p a/b d/e zz; echo x >a/f; echo y >a/b/g; echo z >d/e/h; ln -s f l; echo w >w; touch -d @1000 a d . zz"
	busyScript = "echo 1 >>a/f; chmod 700 a/b; rm -r d; mkdir d; echo 2 >d/n; ln -sfn w l; rm w; mkdir -p n/m; echo 3 >n/m/o; ln n/m/o n/p; echo 4 >zz/late"
)

func busyLab(t *testing.T, root, spool string) (*lab, map[string]string) {
	l := newLab(t, root, spool)
	sh(t, l.root, busyBefore)
	before := manifest(t, l.root)
	l.run(func(m string) { sh(t, m, busyScript) })
	return l, before
}

func unchanged(t *testing.T, l *lab, before map[string]string) {
	t.Helper()
	if d := cmp.Diff(before, manifest(t, l.root)); d != "" {
		t.Errorf("the root changed (-before +after):\n%s", d)
	}
}

// countdown is a context that is cancelled at its nth question.
type countdown struct {
	context.Context
	n *int
}

func (c countdown) Err() error {
	if *c.n--; *c.n < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancelled(t *testing.T) {
	l, before := busyLab(t, "disk", "tmpfs")
	for n := 0; ; n++ {
		p, err := l.inspect()
		must(t, err)
		left := n
		err = p.Commit(countdown{context.Background(), &left})
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) || n > 100 {
			t.Fatalf("cancelled at question %d: %v", n, err)
		}
		unchanged(t, l, before)
	}
	l.same()
}

func TestHookFails(t *testing.T) {
	for _, spool := range []string{"tmpfs", "disk"} {
		l, before := busyLab(t, "disk", spool)
		hook := errors.New("no journal")
		l.o.BeforePublish = func(_ context.Context, p *Plan) error {
			if left, err := Leftovers(p.lower); err != nil || len(left) != 1 {
				t.Errorf("stage while committing: %q, %v", left, err)
			}
			return hook
		}
		p, err := l.inspect()
		must(t, err)
		if err := p.Commit(context.Background()); !errors.Is(err, hook) {
			t.Errorf("Commit: %v", err)
		}
		unchanged(t, l, before)
	}
}

// TestDiskFull commits to file systems of every size up to one that is large enough.
func TestDiskFull(t *testing.T) {
	l := newLab(t, "tmpfs", "tmpfs")
	sh(t, l.root, "echo x >f; mkdir d; touch -d @1000 . d")
	before := manifest(t, l.root)
	l.run(func(m string) {
		sh(t, m, "echo y >f; for i in 1 2 3 4 5 6 7 8 9; do echo $i >d/$i; done; mkdir n; ln -s f n/l")
	})
	kinds := map[string]bool{}
	for pages := 2; ; pages++ {
		remount(t, l.root, fmt.Sprintf("size=%dk,nr_inodes=1000", 4*pages))
		p, err := l.inspect()
		must(t, err)
		if err = p.Commit(context.Background()); err == nil {
			break
		}
		if !errors.Is(err, syscall.ENOSPC) || pages > 100 {
			t.Fatalf("%d pages: %v", pages, err)
		}
		kinds[strings.Fields(err.Error())[1]] = true
		unchanged(t, l, before)
	}
	if len(kinds) < 1 {
		t.Error("no size was too small")
	}
	l.same()
}

func remount(t *testing.T, dir, options string) {
	t.Helper()
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, options))
}

// TestUndone lets somebody else change the root after everything was inspected and staged: the renames made until
// then must be undone.
func TestUndone(t *testing.T) {
	for name, meddle := range map[string]string{
		"appears":     "echo other >zz/late",
		"is replaced": "echo other >w.new; touch -r . w.new; mv w.new w; touch -d @1000 .",
		"is changed":  "echo other >>w",
		"disappears":  "rm w; touch -d @1000 .",
		"moved away":  "mv zz zy; touch -d @1000 .",
		"is a link":   "mv zz zy; ln -s zy zz; touch -d @1000 .",
	} {
		for _, spool := range []string{"tmpfs", "disk"} {
			t.Run(spool+"/"+name, func(t *testing.T) {
				l, _ := busyLab(t, "disk", spool)
				var before map[string]string
				l.o.BeforePublish = func(context.Context, *Plan) error {
					sh(t, l.root, meddle)
					sh(t, l.root, "if test -d zz; then touch -h -d @1000 zz; fi")
					before = manifest(t, l.root)
					return nil
				}
				p, err := l.inspect()
				must(t, err)
				err = p.Commit(context.Background())
				var conflict *Conflict
				if !errors.As(err, &conflict) && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ELOOP) && !errors.Is(err, syscall.ENOTDIR) {
					t.Errorf("Commit: %v", err)
				}
				for path := range before {
					if strings.HasPrefix(path, "/"+StagePrefix) {
						delete(before, path)
					}
				}
				before[""] = manifest(t, l.root)[""] // the meddler's own doing
				unchanged(t, l, before)
			})
		}
	}
}

// TestMetadataUndone lets the last step fail half way: modes, owners and attributes of directories come back.
func TestMetadataUndone(t *testing.T) {
	l := newLab(t, "disk", "tmpfs")
	sh(t, l.root, "mkdir -p a/b zz; echo x >a/f; touch -d @1000 a/b a zz .")
	set(t, l.root+"/a/b", "user.old", "1")
	set(t, l.root+"/a/b", "user.both", "1")
	set(t, l.root+"/a/b", "system.posix_acl_default", acl)
	l.run(func(m string) {
		sh(t, m, "chmod 3700 a/b; echo y >a/f; chmod 700 zz")
		set(t, m+"/a/b", "user.new", "2")
		set(t, m+"/a/b", "user.both", "2")
		must(t, syscall.Removexattr(m+"/a/b", "user.old"))
		must(t, syscall.Removexattr(m+"/a/b", "system.posix_acl_default"))
	})
	sh(t, l.root, "rmdir zz; touch -d @1000 .")
	before := manifest(t, l.root)
	sh(t, l.root, "mkdir zz; touch -d @1000 .")
	l.o.Started = at.Time{}
	l.o.BeforePublish = func(context.Context, *Plan) error { return os.Remove(l.root + "/zz") }
	p, err := l.inspect()
	must(t, err)
	if err := p.Commit(context.Background()); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("Commit: %v", err)
	}
	unchanged(t, l, before)
}

// TestTwoSteps replaces as on a file system that can't exchange names, and takes it back.
func TestTwoSteps(t *testing.T) {
	l, before := busyLab(t, "disk", "tmpfs")
	p, err := l.inspect()
	must(t, err)
	r := &run{ctx: context.Background(), p: p, top: -1, stageDir: -1}
	must(t, r.open())
	defer r.close()
	must(t, r.prepare())
	for _, op := range p.publish {
		if put, ok := op.(*putOp); ok && put.old != nil {
			fd, err := r.root.Seek(put.dir)
			must(t, err)
			must(t, put.twoSteps(r, fd))
			continue
		}
		must(t, op.Apply(r))
	}
	if read(t, l.root+"/a/f") != "x\n1\n" || read(t, l.root+"/d/n") != "2\n" {
		t.Error("not replaced")
	}
	cause := errors.New("cause")
	touched := map[*at.Dir]bool{}
	for _, op := range p.publish {
		touched[op.Dir()] = true
	}
	if err := r.undo(cause, p.publish, touched); err != cause {
		t.Error(err)
	}
	must(t, r.cleanUp(p.topBefore))
	unchanged(t, l, before)
}

// TestConflicts is A31: the root changes while the command runs.
func TestConflicts(t *testing.T) {
	for name, c := range map[string]struct{ script, other, path string }{
		"both wrote":          {"echo a >d/f", "echo b >d/f", "/d/f"},
		"both made":           {"echo a >d/n", "echo b >d/n", "/d/n"},
		"deleted and written": {"rm d/f", "echo b >d/f", "/d/f"},
		"deleted by both":     {"rm d/f", "rm d/f", "/d/f"},
		"tree deleted":        {"rm -r d", "echo b >d/e/g", "/d/e/g"},
		"tree replaced":       {"rm -r d; mkdir d; mkdir d/e", "echo b >d/e/g", "/d/e/g"},
		"both changed mode":   {"chmod 700 d/e", "chmod 711 d/e", "/d/e"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, "disk", "tmpfs")
			sh(t, l.root, "mkdir -p d/e; echo x >d/f; echo y >d/e/g")
			l.run(func(m string) {
				sh(t, m, c.script)
				sh(t, l.root, c.other)
			})
			_, err := l.inspect()
			var conflict *Conflict
			if !errors.As(err, &conflict) || conflict.Path != c.path {
				t.Errorf("Inspect: %v; want a conflict at %s", err, c.path)
			}
		})
	}
}

// TestNoConflict: what others did elsewhere stays.
func TestNoConflict(t *testing.T) {
	l := newLab(t, "disk", "tmpfs")
	sh(t, l.root, "mkdir -p d/e; echo x >d/f; echo y >d/e/g")
	l.run(func(m string) {
		sh(t, m, "echo a >d/f; mkdir d/n")
		sh(t, l.root, "echo b >d/e/g; echo c >d/other; echo o >o")
	})
	l.commit()
	for path, want := range map[string]string{"d/f": "a\n", "d/e/g": "b\n", "d/other": "c\n", "o": "o\n"} {
		if got := read(t, filepath.Join(l.root, path)); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestReadOnlyRoot(t *testing.T) {
	l := newLab(t, "tmpfs", "tmpfs")
	sh(t, l.root, busyBefore)
	before := manifest(t, l.root)
	l.run(func(m string) { sh(t, m, busyScript) })
	remount(t, l.root, "ro")
	must(t, syscall.Mount("tmpfs", l.root, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	p, err := l.inspect()
	must(t, err)
	if err := p.Commit(context.Background()); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Commit: %v", err)
	}
	unchanged(t, l, before)
}

// TestRootOnOverlay is a root inside a container: files can be replaced, directories of a lower layer can't be moved.
func TestRootOnOverlay(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		fails  bool
	}{
		"files":               {"echo y >d/f; rm d/g; mkdir n; echo z >n/f; chmod 700 d", false},
		"deleted directory":   {"rm -r d; echo y >e/f", true},
		"replaced directory":  {"rm -r d; mkdir d; echo y >e/f", true},
		"own layer's deleted": {"rm -r own", false},
	} {
		t.Run(name, func(t *testing.T) {
			outer := newLab(t, "tmpfs", "tmpfs")
			sh(t, outer.root, "mkdir d e; echo x >d/f; echo x >d/g; echo x >e/f; touch -d @1000 d e .")
			must(t, Seed(outer.open(outer.upper), outer.open(outer.root)))
			outer.overlay()
			sh(t, outer.merge, "mkdir own; echo x >own/f; touch -d @1000 .")
			l := newLab(t, "disk", "tmpfs")
			l.root = outer.merge
			before := manifest(t, l.root)
			l.run(func(m string) { sh(t, m, c.script) })
			p, err := l.inspect()
			must(t, err)
			err = p.Commit(context.Background())
			var refusal *Refusal
			switch {
			case !c.fails && err != nil, c.fails && !errors.As(err, &refusal):
				t.Errorf("Commit: %v", err)
			case c.fails:
				unchanged(t, l, before)
			default:
				l.same()
			}
		})
	}
}

// TestInspectIsReadOnly: neither tree changes, not even its access times.
func TestInspectIsReadOnly(t *testing.T) {
	l, before := busyLab(t, "disk", "tmpfs")
	upper := manifest(t, l.upper)
	_, err := l.inspect()
	must(t, err)
	unchanged(t, l, before)
	if d := cmp.Diff(upper, manifest(t, l.upper)); d != "" {
		t.Errorf("the upper changed:\n%s", d)
	}
}
