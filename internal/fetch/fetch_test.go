package fetch

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const helloSum = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03" // of "hello\n"

func TestLocalFiles(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"hello": "hello\n", "empty": ""} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(os.WriteFile(outside, []byte("hello\n"), 0o600), os.Symlink("/hello", filepath.Join(root, "link")),
		os.Symlink(outside, filepath.Join(root, "out")), os.Symlink("../../../../../../../../../../"+outside, filepath.Join(root, "out2")),
		syscall.Mkfifo(filepath.Join(root, "fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for url, c := range map[string]struct {
		job  Job
		want Cause
	}{
		"file:/hello":              {Job{Size: 6, SHA256: helloSum}, ""},
		"file:///hello":            {Job{Size: -1, Max: 6}, ""},
		"file:///link":             {Job{Size: 6}, ""},
		"file://localhost/h%65llo": {Job{Size: 6}, ""},
		"file:///empty":            {Job{Size: 0}, ""},
		"file:///../hello":         {Job{Size: 6}, ""},
		"file:///none":             {Job{Size: 6}, NotFound},
		"file:///out":              {Job{Size: 6}, NotFound},
		"file:///out2":             {Job{Size: 6}, NotFound},
		"file:///fifo":             {Job{Size: 6}, Local},
		"file:///":                 {Job{Size: 6}, Local},
		"file://m.test/hello":      {Job{Size: 6}, BadJob},
		"file:hello":               {Job{Size: 6}, BadJob},
		"file:///hello?":           {Job{Size: 5}, WrongSize},
		"file:///hello#":           {Job{Size: 7}, WrongSize},
		"file:///./hello":          {Job{Size: -1, Max: 5}, WrongSize},
		"file:////hello":           {Job{Size: 6, SHA256: strings.Repeat("0", 64)}, WrongHash},
	} {
		c.job.URL, c.job.Path = url, filepath.Join(t.TempDir(), "got")
		r := (&Client{Root: dir, Program: "/nonexistent"}).Fetch(t.Context(), []Job{c.job}, nil)[0]
		var e *Error
		switch {
		case c.want == "" && r.Err != nil, c.want != "" && (!errors.As(r.Err, &e) || e.Cause != c.want):
			t.Errorf("%s: %+v, want %q", url, r, c.want)
		}
	}
}

// Whatever the program says or doesn't, each job has a result.
func TestBadProgram(t *testing.T) {
	done := `{"id":0,"kind":"done","bytes":1}`
	for script, want := range map[string]string{
		"exit 3":                               "exit status 3",
		"exit 0":                               "ended early",
		"echo hello":                           "read its answer",
		"echo '{}'":                            `answered with ""`,
		"echo '{\"id\":7,\"kind\":\"done\"}'":  "answered job 7",
		"echo '{\"id\":-1,\"kind\":\"done\"}'": "answered job -1",
		"echo '" + done + "'; echo '" + done + "'": "",
		"exec head -c 3000000 /dev/zero":           "ended early",
		"kill -9 $$":                               "killed",
		"printf 'a\\033[2Jb' >&2; exit 1":          `a\x1b[2Jb`,
	} {
		c := &Client{Program: "/bin/sh", Args: []string{"-c", script}}
		start := time.Now()
		rs := c.Fetch(t.Context(), []Job{{URL: "http://127.0.0.1:1/a", Size: 1}, {URL: "http://127.0.0.1:1/b", Size: 1}}, nil)
		var e *Error
		if err := rs[1].Err; !errors.As(err, &e) || e.Cause != Helper || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", script, err, want)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: %v", script, took)
		}
	}
	r := (&Client{Program: "/nonexistent/crossroot-fetch"}).Fetch(t.Context(), []Job{{URL: "http://127.0.0.1:1/a", Size: 1}}, nil)[0]
	if r.Err == nil || !strings.Contains(r.Err.Error(), "/nonexistent/crossroot-fetch") {
		t.Error(r.Err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	r := (&Client{Program: "/bin/sh", Args: []string{"-c", "exec sleep 30"}}).Fetch(ctx, []Job{{URL: "http://127.0.0.1:1/a", Size: 1}}, nil)[0]
	if !errors.Is(r.Err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", r.Err, time.Since(start))
	}
}

// A program doesn't outlive whoever started it, not even one that was killed.
func TestKilled(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	if name := os.Getenv("FETCH_TEST_PID_FILE"); name != "" {
		script := "echo $$ > " + name + ".new; mv " + name + ".new " + name + "; exec sleep 60"
		(&Client{Program: "/bin/sh", Args: []string{"-c", script}}).Fetch(t.Context(), []Job{{URL: "http://127.0.0.1:1/a", Size: 1}}, nil)
		t.Fatal("it ended")
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	parent.Env = append(os.Environ(), "FETCH_TEST_PID_FILE="+pidFile)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid := ""
	for deadline := time.Now().Add(20 * time.Second); pid == "" && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(pidFile)
		pid = strings.TrimSpace(string(text))
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	if pid == "" {
		t.Fatal("the program never started")
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %s is still there", pid)
		}
	}
}

func TestFind(t *testing.T) {
	t.Setenv("CROSSROOT_FETCH", "/some/where")
	if p, err := Find(); p != "/some/where" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	dir := t.TempDir()
	t.Setenv("CROSSROOT_FETCH", "")
	t.Setenv("PATH", dir)
	if p, err := Find(); err == nil {
		t.Errorf("found %q", p)
	}
	if err := os.WriteFile(dir+"/crossroot-fetch", []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if p, err := Find(); p != dir+"/crossroot-fetch" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
}

func TestRedacted(t *testing.T) {
	for in, want := range map[string]string{"http://u:p@m.test/a": "http://u:xxxxx@m.test/a", "http://m.test/\x1b": "(invalid URL)", "http://m.test/%1b": "http://m.test/%1b"} {
		if got := Redacted(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add(`{"id":0,"kind":"progress","bytes":1}` + "\n" + `{"id":0,"kind":"done"}`)
	f.Fuzz(func(t *testing.T, text string) {
		results := []Result{{Err: errPending}, {Err: errPending}}
		_ = readEvents(strings.NewReader(text), make([]Job, 2), results, nil)
	})
}
