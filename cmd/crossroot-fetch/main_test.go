package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crossroot/crossroot/internal/fetch"
)

// TestMain makes the test's own executable crossroot-fetch when it is asked to.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "as-crossroot-fetch" {
		os.Args = append([]string{"crossroot-fetch"}, os.Args[2:]...)
		main()
		return
	}
	os.Exit(m.Run())
}

func client(t *testing.T, args ...string) *fetch.Client {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &fetch.Client{Program: exe, Args: append([]string{"as-crossroot-fetch"}, args...)}
}

// The whole way: client, program, server.
func TestClient(t *testing.T) {
	s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			w.WriteHeader(404)
			return
		}
		whole(w, r)
	})
	good, missing, wrong := job(t, s.URL+"/good"), job(t, s.URL+"/missing"), job(t, s.URL+"/wrong")
	wrong.SHA256 = sumOf(nil)
	local := job(t, "file://"+good.Path+".local")
	if err := os.WriteFile(good.Path+".local", content, 0o600); err != nil {
		t.Fatal(err)
	}
	seen := map[int]int64{}
	results := client(t).Fetch(t.Context(), []fetch.Job{good, missing, local, wrong}, func(job int, bytes int64) { seen[job] = bytes })
	causes := []fetch.Cause{"", fetch.NotFound, "", fetch.WrongHash}
	for i, r := range results {
		var e *fetch.Error
		if causes[i] == "" && (r.Err != nil || r.Bytes != int64(len(content)) || r.SHA256 != sumOf(content)) ||
			causes[i] != "" && (!errors.As(r.Err, &e) || e.Cause != causes[i] || !strings.HasPrefix(e.URL, s.URL)) {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if seen[0] == 0 {
		t.Error("no progress")
	}
}

func TestCancel(t *testing.T) {
	s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(content[:1000])
		hang(w, r)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	j := job(t, s.URL)
	r := client(t).Fetch(ctx, []fetch.Job{j}, nil)[0]
	if !errors.Is(r.Err, context.DeadlineExceeded) || time.Since(start) > 3*time.Second {
		t.Errorf("%v after %v", r.Err, time.Since(start))
	}
}

// The proxy comes from the environment. Requests to this machine never take one, so that the name is another's.
func TestProxy(t *testing.T) {
	asked := make(chan string, 1)
	s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL.String():
		default:
		}
		whole(w, r)
	})
	t.Setenv("http_proxy", s.URL)
	t.Setenv("no_proxy", "")
	j := job(t, "http://mirror.invalid/file")
	if r := client(t).Fetch(t.Context(), []fetch.Job{j}, nil)[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	if got := <-asked; got != "http://mirror.invalid/file" {
		t.Errorf("the proxy was asked for %q", got)
	}
	s.Close()
	r := client(t, "-pause", "1ms", "-tries", "2").Fetch(t.Context(), []fetch.Job{job(t, "http://mirror.invalid/file")}, nil)[0]
	var e *fetch.Error
	if !errors.As(r.Err, &e) || e.Cause != fetch.Unreachable {
		t.Errorf("a dead proxy: %v", r.Err)
	}
}

// A variable that names no proxy is not passed over, and a proxy that isn't there isn't the mirror's fault.
func TestBadProxy(t *testing.T) {
	t.Setenv("no_proxy", "")
	for value, want := range map[string]string{
		"::nonsense::":            "http_proxy in the environment is no proxy's address",
		"nonsense://proxy.test":   "http_proxy in the environment",
		"http://":                 "http_proxy in the environment",
		"http://a b":              "http_proxy in the environment",
		"http://proxy.invalid:80": `there is no host "proxy.invalid"`,
	} {
		t.Setenv("http_proxy", value)
		start := time.Now()
		r := client(t).Fetch(t.Context(), []fetch.Job{job(t, "http://mirror.invalid/file")}, nil)[0]
		var e *fetch.Error
		if !errors.As(r.Err, &e) || e.Cause != fetch.Unreachable || !strings.Contains(e.Message, want) || strings.Contains(e.Message, "tried") {
			t.Errorf("%s: %v", value, r.Err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: %v", value, took)
		}
	}
	for _, value := range []string{"proxy.test:3128", "http://u:p@proxy.test", "SOCKS5://127.0.0.1:1", "https://[::1]:3"} {
		if !proxyAddress(value) {
			t.Errorf("%s is no proxy", value)
		}
	}
}

// What the environment has beside the proxy stays out.
func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_THE_USER", "x")
	t.Setenv("NO_PROXY", "a.test")
	script := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexport -p >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := (&fetch.Client{Program: script}).Fetch(t.Context(), []fetch.Job{job(t, "http://127.0.0.1:1/")}, nil)[0]
	if r.Err == nil || strings.Contains(r.Err.Error(), "SECRET") || !strings.Contains(r.Err.Error(), "a.test") {
		t.Error(r.Err)
	}
}
