package repo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crossroot/crossroot/internal/debian/sources"
	"github.com/crossroot/crossroot/internal/fetch"
)

// Files of the cache that are damaged are got again (THREATS D21).
func TestDamagedCache(t *testing.T) {
	m := newMirror(t).sign().write()
	for _, pattern := range []string{"index/*", "packages/xx/*", "release/*/InRelease", "release/*/state"} {
		for what, damage := range map[string]func(name string) error{
			"flipped":   func(n string) error { return change(n, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) },
			"cut":       func(n string) error { return change(n, func(b []byte) []byte { return b[:len(b)/2] }) },
			"emptied":   func(n string) error { return change(n, func([]byte) []byte { return nil }) },
			"longer":    func(n string) error { return change(n, func(b []byte) []byte { return append(b, 0) }) },
			"page":      func(n string) error { return change(n, func([]byte) []byte { return []byte("<html>") }) },
			"removed":   os.Remove,
			"directory": func(n string) error { return errors.Join(os.Remove(n), os.Mkdir(n, 0o700)) },
			"FIFO":      func(n string) error { return errors.Join(os.Remove(n), syscall.Mkfifo(n, 0o600)) },
			"loop":      func(n string) error { return errors.Join(os.Remove(n), os.Symlink(filepath.Base(n), n)) },
		} {
			c := m.config()
			before, err := get(t, c)
			if err != nil {
				t.Fatal(err)
			}
			names, _ := filepath.Glob(c.Cache + "/debian/" + pattern)
			if len(names) == 0 {
				t.Fatalf("no %s", pattern)
			}
			if err := damage(names[0]); err != nil {
				t.Fatal(err)
			}
			after, err := get(t, c)
			if err != nil && what == "directory" { // somebody wants it so: say it
				var e *Error
				if !errors.As(err, &e) || e.Kind != Local {
					t.Errorf("%s %s: %v", pattern, what, err)
				}
				continue
			}
			if err != nil || strings.Join(after, " ") != strings.Join(before, " ") {
				t.Errorf("%s %s: %v", pattern, what, err)
			}
			for i, want := range []string{"deb of xx 2.0", "deb of yy 1:3~rc1"} {
				if got, _ := os.ReadFile(after[i]); string(got) != want {
					t.Errorf("%s %s: %q", pattern, what, got)
				}
			}
		}
	}
}

func change(name string, how func([]byte) []byte) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, how(b), 0o600)
}

// What a killed download left is in nobody's way.
func TestLeftovers(t *testing.T) {
	m := newMirror(t).sign().write()
	c := m.config()
	if _, err := Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	deb := m.files["pool/main/xx_2.0_amd64.deb"]
	for _, left := range []string{"half", "deb of xx 2.0 and more", ""} {
		if err := os.WriteFile(c.Cache+"/debian/partial/"+sumOf(deb), []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(c.Cache + "/debian/packages/xx"); err != nil {
			t.Fatal(err)
		}
		if _, err := get(t, c); err != nil {
			t.Errorf("%q: %v", left, err)
		}
	}
}

func TestTwoAtATime(t *testing.T) {
	m := newMirror(t).sign().write()
	c := m.config()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			own := c
			own.Fetch = &counter{}
			if _, err := get(t, own); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

// Whoever waits for another one can be told to stop.
func TestWaiting(t *testing.T) {
	m := newMirror(t).sign().write()
	c := m.config()
	k, err := openCache(c.Cache)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := k.lock(t.Context(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	said := ""
	c.Progress = func(p Progress) { said = p.What }
	if _, err := Open(ctx, c); !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(said, "waiting") {
		t.Errorf("%v, said %q", err, said)
	}
	unlock()
	if _, err := get(t, c); err != nil {
		t.Error(err)
	}
}

// Stopped at any request, the next one finds a cache that works.
func TestStopped(t *testing.T) {
	m := newMirror(t).sign().write()
	c := m.config()
	for stop := 1; stop < 8; stop++ {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		count := &counter{}
		count.answer = func(fetch.Job) *fetch.Result {
			if n++; n >= stop {
				cancel()
				return &fetch.Result{Err: ctx.Err()}
			}
			return nil
		}
		c.Fetch = count
		r, err := Open(ctx, c)
		if err == nil {
			var p Package
			if p, err = r.Resolve("xx", ""); err == nil {
				_, err = r.Fetch(ctx, []Package{p})
			}
		}
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("stopped at %d: %v", stop, err)
		}
	}
	c.Fetch = &counter{}
	if _, err := get(t, c); err != nil {
		t.Error(err)
	}
}

func TestCacheDirectory(t *testing.T) {
	m := newMirror(t).sign().write()
	c := m.config()
	c.Cache = ""
	if _, err := Open(t.Context(), c); err == nil {
		t.Error("no directory: no error")
	}
	c.Cache = t.TempDir()
	if err := os.Chmod(c.Cache, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), c); !errors.Is(err, ErrOwner) {
		t.Errorf("writable by all: %v", err)
	}
	c.Cache = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(c.Cache, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), c); err == nil {
		t.Error("a file: no error")
	}
}

// A root's apt configuration is hostile input (THREATS A05, A07, A08).
func TestReadApt(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if a, err := ReadApt(root); err != nil || a.Sources != nil || a.Problems != nil {
		t.Errorf("no /etc: %+v, %v", a, err)
	}
	outside := filepath.Join(t.TempDir(), "x.list")
	if err := os.WriteFile(outside, []byte("deb http://outside.test s main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	put("etc/apt/sources.list", "deb http://a.test s main\n")
	put("etc/apt/sources.list.d/b.sources", "Types: deb\nURIs: http://b.test\nSuites: s\nComponents: main\n")
	put("etc/apt/sources.list.d/bad.list", "hello\n")
	put("etc/apt/sources.list.d/c.list.save", "deb http://c.test s main\n")
	put("etc/apt/sources.list.d/.d.list", "deb http://d.test s main\n")
	put("elsewhere", "deb http://in.test s main\n")
	put("etc/apt/apt.conf.d/10x", "Acquire::Check-Valid-Until \"false\";\n")
	put("etc/apt/apt.conf.d/20y.dpkg-old", "Acquire::Check-Valid-Until \"true\";\n")
	lists := filepath.Join(dir, "etc/apt/sources.list.d")
	if err := errors.Join(
		os.Symlink(outside, lists+"/out.list"), os.Symlink("../../../../../../../../../../.."+outside, lists+"/out2.list"),
		os.Symlink("/elsewhere", lists+"/in.list"), os.Symlink("loop.list", lists+"/loop.list"),
		syscall.Mkfifo(lists+"/fifo.list", 0o644), os.Mkdir(lists+"/dir.list", 0o755), os.Truncate(lists+"/bad.list", 0),
		os.WriteFile(lists+"/huge.list", nil, 0o644), os.Truncate(lists+"/huge.list", 8<<30), os.Symlink("/dev/zero", lists+"/zero.list"),
	); err != nil {
		t.Fatal(err)
	}
	a, err := ReadApt(root)
	if err != nil || !a.Expired {
		t.Errorf("%+v, %v", a, err)
	}
	var uris []string
	for _, s := range a.Sources {
		uris = append(uris, s.URI)
	}
	if got := strings.Join(uris, " "); got != "http://a.test http://b.test http://in.test" {
		t.Errorf("sources %q", got)
	}
	if len(a.Problems) != 4 { // loop, FIFO, directory, huge; what leads out isn't there
		t.Errorf("problems %v", a.Problems)
	}
}

func TestKeyrings(t *testing.T) {
	m := newMirror(t).sign().write()
	c := m.config()
	dir := t.TempDir()
	data, err := os.ReadFile(c.Keyrings[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/etc/apt/trusted.gpg.d/a.gpg", "/usr/share/keyrings/a.gpg"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(dir+name), 0o755), os.WriteFile(dir+name, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/etc/apt/trusted.gpg.d/bad.gpg", []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	good, other := fingerprintOf("good"), fingerprintOf("other")
	for option, ok := range map[string]bool{
		"": true, "[signed-by=/usr/share/keyrings/a.gpg]": true, "[signed-by=/usr/share/keyrings/none.gpg]": false,
		"[signed-by=" + good + "]": true, "[signed-by=" + other + "]": false, "[signed-by=/usr/share/keyrings/a.gpg," + good + "]": true,
		"[signed-by=/etc/apt/trusted.gpg.d/bad.gpg]": false, "[signed-by=/etc]": false,
	} {
		own := c
		own.Keyrings, own.Root = nil, root
		own.Fetch = &counter{}
		if own.Sources, err = sources.Parse("t.list", []byte("deb "+option+" file:"+m.dir+" stable main contrib")); err != nil {
			t.Fatal(err)
		}
		if _, err := get(t, own); (err == nil) != ok {
			t.Errorf("%s: %v", option, err)
		}
	}
}

// What a root's sources name is read on this machine only where it keeps keyrings.
func TestKeyringsOfMachine(t *testing.T) {
	m := newMirror(t).sign().write()
	c := m.config()
	root, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	elsewhere := c.Keyrings[0]
	c.Keyrings, c.Root = nil, root
	for _, name := range []string{elsewhere, "/usr/share/keyrings/../../.." + elsewhere, "/proc/self/mem"} {
		if c.Sources, err = sources.Parse("t.list", []byte("deb [signed-by="+name+"] file:"+m.dir+" stable main")); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "there is no keyring") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]bool{"/usr/share/keyrings/a.gpg": true, "/etc/apt/keyrings/a.asc": true, "/etc/apt/../shadow": false, "/etc/aptx": false} {
		if keyringDir(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

// A keyring that a person names is below the working directory, not below /.
func TestRelativeKeyring(t *testing.T) {
	c := newMirror(t).sign().write().config()
	t.Chdir(filepath.Dir(c.Keyrings[0]))
	c.Keyrings = []string{filepath.Base(c.Keyrings[0])}
	if _, err := get(t, c); err != nil {
		t.Error(err)
	}
}

func TestGC(t *testing.T) {
	m := newMirror(t).sign().write()
	c := m.config()
	if _, err := get(t, c); err != nil {
		t.Fatal(err)
	}
	if n, err := GC(t.Context(), c.Cache, time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("new: %d, %v", n, err)
	}
	old := time.Now().AddDate(0, -1, 0)
	for _, pattern := range []string{"index/*", "packages/*/*", "release/*/*"} {
		names, _ := filepath.Glob(c.Cache + "/debian/" + pattern)
		for _, n := range names {
			if err := os.Chtimes(n, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := r.Resolve("xx", "")
	if _, err := r.Fetch(t.Context(), []Package{p}); err != nil {
		t.Fatal(err)
	}
	if n, err := GC(t.Context(), c.Cache, time.Now().Add(-time.Hour)); n != int64(len("deb of yy 1:3~rc1")) || err != nil {
		t.Errorf("yy isn't used: %d, %v", n, err)
	}
	c.Offline = true
	if _, err := Open(t.Context(), c); err != nil {
		t.Error(err)
	}
}

// Without crossroot-fetch, what the cache has is used.
func TestNoHelper(t *testing.T) {
	m := newMirror(t).sign().write()
	c := m.config()
	count := c.Fetch.(*counter)
	helper := &fetch.Client{Program: "/nonexistent/crossroot-fetch"}
	count.answer = func(j fetch.Job) *fetch.Result {
		j.URL = "http://127.0.0.1:1/"
		return &helper.Fetch(t.Context(), []fetch.Job{j}, nil)[0]
	}
	var e *Error
	if _, err := get(t, c); !errors.As(err, &e) || e.Kind != NoHelper || !strings.Contains(err.Error(), "install crossroot-fetch") {
		t.Errorf("nothing here: %v", err)
	}
	answer := count.answer
	count.answer = nil
	if _, err := get(t, c); err != nil {
		t.Fatal(err)
	}
	count.answer = answer
	r, err := Open(t.Context(), c)
	if err != nil || len(r.Warnings) != 1 {
		t.Errorf("%v, %v", r, err)
	}
}
