package session

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/protocol"
)

func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET", "x")
	t.Setenv("TERM", "vt100")
	env := environment([]string{"HOME=/here", "A=b=c", "A=d"}, true)
	for _, want := range []string{"HOME=/here", "A=d", "TERM=vt100", "SYSTEMD_OFFLINE=1", "USER=root"} {
		if !slices.Contains(env, want) {
			t.Errorf("%q is missing in %q", want, env)
		}
	}
	for _, e := range env {
		if strings.HasPrefix(e, "SECRET") || e == "HOME=/root" || e == "A=b=c" {
			t.Errorf("%q is in the environment", e)
		}
	}
	if slices.ContainsFunc(environment(nil, false), func(e string) bool { return strings.HasPrefix(e, "TERM=") }) {
		t.Error("TERM without a terminal")
	}
}

func TestForeign(t *testing.T) {
	arm64, _ := arch.Lookup("arm64")
	if names := foreign(arm64); names[0] != "arm64" {
		t.Errorf("%q: the target's own comes first", names)
	}
	armhf, _ := arch.Lookup("armhf")
	if names := foreign(armhf); !slices.Equal(names, []string{"armhf"}) {
		t.Errorf("armhf: %q", names)
	}
}

func TestKeeps(t *testing.T) {
	changed := &protocol.Report{Changes: []protocol.Change{{Path: "/x"}}}
	ok, failed, unrun := Result{}, Result{Exit: protocol.Exit{Code: 3}}, Result{Exit: protocol.Exit{Exec: "why"}}
	timedOut := Result{TimedOut: true}
	tests := []struct {
		keep   Keep
		result Result
		report *protocol.Report
		want   bool
	}{
		{KeepSuccess, ok, changed, true}, {KeepSuccess, failed, changed, false}, {KeepSuccess, unrun, changed, false},
		{KeepSuccess, timedOut, changed, false}, {KeepAlways, failed, changed, true}, {KeepNever, ok, changed, false},
		{KeepAsk, failed, changed, true}, {KeepAsk, ok, &protocol.Report{}, false}, {"", ok, changed, true},
	}
	for _, tt := range tests {
		r := &run{o: Options{Keep: tt.keep, Ask: func(*protocol.Report) bool { return true }}}
		if got := r.keeps(&tt.result, tt.report); got != tt.want {
			t.Errorf("%q with %+v: %v, want %v", tt.keep, tt.result, got, tt.want)
		}
	}
}

func TestOpenRootRefusals(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	text := filepath.Join(dir, "text")
	odd := filepath.Join(dir, "odd")
	for name, content := range map[string]string{
		file: "", filepath.Join(text, "bin/sh"): "#!/bin/true\n",
		filepath.Join(odd, "bin/sh"): "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\x99\x99\x01\x00\x00\x00" + strings.Repeat("\x00", 40),
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	empty := filepath.Join(dir, "empty")
	fifo := filepath.Join(dir, "fifo")
	if err := errors.Join(os.Mkdir(empty, 0o755), os.MkdirAll(fifo+"/bin", 0o755), unix.Mkfifo(fifo+"/bin/sh", 0o755)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		kind Kind
		text string
	}{
		{"", KindRoot, "empty"},
		{"/", KindRoot, "this machine's own root"},
		{filepath.Join(dir, "none"), KindRoot, "no such file"},
		{file, KindRoot, "not a directory"},
		{empty, KindNotRoot, "is empty"},
		{text, KindNotRoot, "tells its CPU"},
		{fifo, KindNotRoot, "tells its CPU"},
		{odd, KindArch, "machine"},
	}
	for _, tt := range tests {
		_, err := OpenRoot(tt.name)
		var e *Error
		if !errors.As(err, &e) || e.Kind != tt.kind || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%q: %v, want %s with %q", tt.name, err, tt.kind, tt.text)
		}
	}
}

func TestLock(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	open := func() *Root {
		d, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		return &Root{Name: "R", Dir: d, Dev: 1, Ino: 2}
	}
	first, err := open().take(context.Background(), state, false, false, "apt-get\x1b[2J install")
	if err != nil {
		t.Fatal(err)
	}
	_, err = open().take(context.Background(), state, true, false, "second")
	if !errors.Is(err, errBusy) || !strings.Contains(err.Error(), "apt-get?[2J install") {
		t.Errorf("second: %v, want who holds it, without control characters", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = open().take(ctx, state, false, true, "third"); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting: %v", err)
	}
	first.release()
	one, err1 := open().take(context.Background(), state, true, false, "a")
	two, err2 := open().take(context.Background(), state, true, false, "b")
	if err1 != nil || err2 != nil {
		t.Fatalf("two that change nothing: %v, %v", err1, err2)
	}
	one.release()
	two.release()
	if left, _ := os.ReadDir(state); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDirsRefusesOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CROSSROOT_CACHE", dir)
	if _, err := UserDirs(); err == nil || !strings.Contains(err.Error(), "others can write") {
		t.Errorf("a directory that others can write to: %v", err)
	}
	t.Setenv("CROSSROOT_CACHE", "relative")
	if _, err := UserDirs(); err == nil || !strings.Contains(err.Error(), "not absolute") {
		t.Errorf("a relative directory: %v", err)
	}
}
