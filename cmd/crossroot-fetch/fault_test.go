package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crossroot/crossroot/internal/fetch"
)

// What servers do wrong (THREATS B34, D22): each ends in bounded time with the right cause, or with the right file.
func TestFaults(t *testing.T) {
	type handler = func(n int, w http.ResponseWriter, r *http.Request)
	status := func(code int) handler {
		return func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	first := func(bad handler) handler { // only the first answer is bad
		return func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				bad(n, w, r)
			} else {
				whole(w, r)
			}
		}
	}
	redirect := func(to string) handler {
		return func(_ int, w http.ResponseWriter, _ *http.Request) {
			raw(w, "HTTP/1.1 302 Found\nLocation: "+to+"\nContent-Length: 0", nil)
		}
	}
	stall := func(_ int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:1000])
		hang(w, r)
	}
	cut := func(_ int, w http.ResponseWriter, _ *http.Request) { cutAt(w, 100_000) }
	reset := func(_ int, w http.ResponseWriter, _ *http.Request) { _ = hijack(w).Close() }
	for name, c := range map[string]struct {
		handler  handler
		want     fetch.Cause // empty: the right file
		requests int         // 0: any number
		unsized  bool
	}{
		"good":        {first(func(_ int, w http.ResponseWriter, r *http.Request) { whole(w, r) }), "", 1, false},
		"404":         {status(404), fetch.NotFound, 1, false},
		"410":         {status(410), fetch.NotFound, 1, false},
		"403":         {status(403), fetch.Refused, 1, false},
		"401":         {status(401), fetch.Refused, 1, false},
		"500":         {status(500), fetch.Status, 3, false},
		"503 once":    {first(status(503)), "", 2, false},
		"418":         {status(418), fetch.Status, 1, false},
		"204":         {status(204), fetch.Status, 1, false},
		"304 unasked": {status(304), fetch.Status, 1, false},
		"stall":       {stall, fetch.Timeout, 3, false},
		"stall once":  {first(stall), "", 2, false},
		"no answer":   {func(_ int, w http.ResponseWriter, r *http.Request) { time.Sleep(600 * time.Millisecond) }, fetch.Timeout, 3, false},
		"cut":         {cut, fetch.Cut, 3, false},
		"cut once":    {first(cut), "", 2, false},
		"reset":       {reset, fetch.Unreachable, 3, false},
		"reset once":  {first(reset), "", 2, false},
		"not HTTP":    {func(_ int, w http.ResponseWriter, _ *http.Request) { raw(w, "220 hello", nil) }, fetch.Unreachable, 3, false},
		"wrong hash": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(append([]byte("x"), content[1:]...))
		}, fetch.WrongHash, 1, false},
		"larger, said": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(append(bytes.Clone(content), make([]byte, 512)...))
		}, fetch.WrongSize, 1, false},
		"larger, unsaid": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			raw(w, "HTTP/1.1 200 OK", append(bytes.Clone(content), make([]byte, 512)...))
		}, fetch.WrongSize, 1, false},
		"smaller, said":    {func(_ int, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content[:100]) }, fetch.WrongSize, 1, false},
		"smaller, unsaid":  {func(_ int, w http.ResponseWriter, _ *http.Request) { raw(w, "HTTP/1.1 200 OK", content[:100]) }, fetch.Cut, 0, false},
		"empty":            {func(int, http.ResponseWriter, *http.Request) {}, fetch.WrongSize, 1, false},
		"endless":          {endless, fetch.WrongSize, 1, false},
		"endless, unsized": {endless, fetch.WrongSize, 1, true},
		"size lies": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			raw(w, "HTTP/1.1 200 OK\nContent-Length: 9223372036854775807", nil)
		}, fetch.WrongSize, 1, true},
		"negative size": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			raw(w, "HTTP/1.1 200 OK\nContent-Length: -5", nil)
		}, fetch.Unreachable, 3, false},
		"portal": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>")
		}, fetch.WrongSize, 1, false},
		"206 unasked": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(content)-1, len(content)))
			w.WriteHeader(206)
			_, _ = w.Write(content)
		}, fetch.Status, 1, false},
		"gzip anyway": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(content)
		}, "", 1, false}, // the sum decides, not the header
		"many headers": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			raw(w, "HTTP/1.1 200 OK\n"+strings.Repeat("X-A: "+strings.Repeat("b", 1000)+"\n", 1000)+"X-B: c", nil)
		}, fetch.Unreachable, 0, false},
		"redirect in circles":   {redirect("/again"), fetch.Redirect, mostRedirects + 1, false},
		"redirect to file":      {redirect("file:///etc/passwd"), fetch.Redirect, 1, false},
		"redirect to ftp":       {redirect("ftp://127.0.0.1/x"), fetch.Redirect, 1, false},
		"redirect to gopher":    {redirect("gopher://127.0.0.1/x"), fetch.Redirect, 1, false},
		"redirect to nowhere":   {redirect(""), fetch.Redirect, 1, false},
		"redirect to no host":   {redirect("http:///x"), fetch.Redirect, 1, false},
		"redirect with secrets": {redirect("http://user:pw@127.0.0.1/x"), fetch.Redirect, 1, false},
		"redirect, controls":    {redirect("http://127.0.0.1/\x1b]0;x\x07"), fetch.Unreachable, 3, false},
		"redirect, bad":         {redirect("http://[::1"), fetch.Redirect, 1, false},
		"redirect once":         {first(redirect("/other")), "", 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.handler)
			j := job(t, s.URL+"/file")
			if c.unsized {
				j.Size, j.SHA256, j.Max = -1, "", int64(len(content))
			}
			e := do(t, quick(), j)[0]
			if c.want == "" {
				right(t, j, e)
			} else if e.Kind != fetch.Failed || e.Cause != c.want || e.Message == "" {
				t.Errorf("%+v, want %s", e, c.want)
			}
			if strings.ContainsFunc(e.Message, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%q has control characters", e.Message)
			}
			if n := s.requests(); c.requests != 0 && n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
			if st, err := os.Stat(j.Path); err == nil && st.Size() > int64(len(content)) {
				t.Errorf("%d bytes were written", st.Size())
			}
		})
	}
}

func endless(_ int, w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := w.Write(content); err != nil {
			return
		}
	}
}

func right(t *testing.T, j fetch.Job, e fetch.Event) {
	t.Helper()
	got, err := os.ReadFile(j.Path)
	if e.Kind != fetch.Done || e.SHA256 != sumOf(content) || e.Bytes != int64(len(content)) || err != nil || !bytes.Equal(got, content) {
		t.Errorf("%+v, %d bytes, %v", e, len(got), err)
	}
}

// One byte at a time is never idle.
func TestTooSlow(t *testing.T) {
	s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		for i := 0; r.Context().Err() == nil && i < 1000; i++ {
			_, _ = w.Write(content[i : i+1])
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	g := quick()
	g.total = 500 * time.Millisecond
	if e := do(t, g, job(t, s.URL))[0]; e.Cause != fetch.Timeout || !strings.Contains(e.Message, "in the time allowed") {
		t.Errorf("in all: %+v", e)
	}
	g = quick()
	g.window, g.rate = 100*time.Millisecond, 1000
	if e := do(t, g, job(t, s.URL))[0]; e.Cause != fetch.Timeout || !strings.Contains(e.Message, "per second (tried 3 times)") {
		t.Errorf("in a window: %+v", e)
	}
}

// Of many files on a server that fails, a few are tried; one that answers, if only with 404, is not given up.
func TestGivenUp(t *testing.T) {
	for _, code := range []int{500, 404} {
		s := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		good := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { whole(w, r) })
		g := quick()
		g.tries = 2
		var jobs []fetch.Job
		for i := range 60 {
			jobs = append(jobs, job(t, fmt.Sprintf("%s/%d", s.URL, i)))
		}
		jobs = append(jobs, job(t, good.URL))
		events := do(t, g, jobs...)
		for i, e := range events[:60] {
			if e.Kind != fetch.Failed || e.Cause != map[int]fetch.Cause{500: fetch.Status, 404: fetch.NotFound}[code] {
				t.Errorf("%d, %d: %+v", code, i, e)
			}
		}
		right(t, jobs[60], events[60])
		// Those that were under way at the fourth failure go on.
		if n := s.requests(); code == 500 && (n < mostFailures*2 || n > (mostFailures+8)*2) || code == 404 && n != 60 {
			t.Errorf("%d: %d requests", code, n)
		}
		if text := events[59].Message; code == 500 && !strings.Contains(text, "not tried") {
			t.Error(text)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	s := serve(t, func(int, http.ResponseWriter, *http.Request) {})
	s.Close()
	if e := do(t, quick(), job(t, s.URL))[0]; e.Cause != fetch.Unreachable || !strings.Contains(e.Message, "tried 3 times") {
		t.Errorf("%+v", e)
	}
}

func TestBadJobs(t *testing.T) {
	s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { whole(w, r) })
	for name, change := range map[string]func(*fetch.Job){
		"file":       func(j *fetch.Job) { j.URL = "file:///etc/passwd" },
		"no scheme":  func(j *fetch.Job) { j.URL = "/etc/passwd" },
		"no host":    func(j *fetch.Job) { j.URL = "http:///x" },
		"bad":        func(j *fetch.Job) { j.URL = "http://a\x00b/" },
		"no path":    func(j *fetch.Job) { j.Path = "" },
		"no limit":   func(j *fetch.Job) { j.Size = -1 },
		"negative":   func(j *fetch.Job) { j.Size = -2 },
		"short hash": func(j *fetch.Job) { j.SHA256 = j.SHA256[1:] },
		"upper hash": func(j *fetch.Job) { j.SHA256 = strings.ToUpper(j.SHA256) },
	} {
		j := job(t, s.URL)
		change(&j)
		if e := do(t, quick(), j)[0]; e.Kind != fetch.Failed || e.Cause != fetch.BadJob {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if s.requests() != 0 {
		t.Error("something was asked for")
	}
}

// Where the file can't be written.
func TestLocalTrouble(t *testing.T) {
	s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { whole(w, r) })
	for name, prepare := range map[string]func(path string) error{
		"link":         func(path string) error { return os.Symlink("/nonexistent/x", path) },
		"directory":    func(path string) error { return os.Mkdir(path, 0o755) },
		"FIFO":         func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"no directory": func(path string) error { return os.Remove(path[:strings.LastIndex(path, "/")]) },
	} {
		j := job(t, s.URL)
		if err := prepare(j.Path); err != nil {
			t.Fatal(err)
		}
		if e := do(t, quick(), j)[0]; e.Cause != fetch.Local {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if e := do(t, quick(), fetch.Job{URL: s.URL, Path: "/dev/full", Size: int64(len(content))})[0]; e.Cause != fetch.Local {
		t.Errorf("device: %+v", e)
	}
}
