package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/crossroot/crossroot/internal/fetch"
)

func TestResume(t *testing.T) {
	half := len(content) / 2
	for name, c := range map[string]struct {
		there    []byte
		handler  func(n int, w http.ResponseWriter, r *http.Request)
		requests int
		ranges   string // of the first request
	}{
		"half":                 {content[:half], func(_ int, w http.ResponseWriter, r *http.Request) { whole(w, r) }, 1, fmt.Sprintf("bytes=%d-", half)},
		"whole":                {content, func(_ int, w http.ResponseWriter, r *http.Request) { whole(w, r) }, 0, ""},
		"nothing":              {nil, func(_ int, w http.ResponseWriter, r *http.Request) { whole(w, r) }, 1, ""},
		"too much":             {append(bytes.Clone(content), 'x'), func(_ int, w http.ResponseWriter, r *http.Request) { whole(w, r) }, 1, ""},
		"damaged whole":        {append([]byte("x"), content[1:]...), func(_ int, w http.ResponseWriter, r *http.Request) { whole(w, r) }, 1, ""},
		"damaged half":         {append([]byte("x"), content[1:half]...), func(_ int, w http.ResponseWriter, r *http.Request) { whole(w, r) }, 2, fmt.Sprintf("bytes=%d-", half)},
		"server has no ranges": {content[:half], func(_ int, w http.ResponseWriter, r *http.Request) { _, _ = w.Write(content) }, 1, fmt.Sprintf("bytes=%d-", half)},
		"server sends another part": {content[:half], func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				whole(w, r)
				return
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 5-%d/%d", len(content)-1, len(content)))
			w.WriteHeader(206)
			_, _ = w.Write(content[5:])
		}, 2, fmt.Sprintf("bytes=%d-", half)},
		"server's file has another size": {content[:half], func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				whole(w, r)
				return
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", half, len(content), len(content)+1))
			w.WriteHeader(206)
			_, _ = w.Write(content[half:])
		}, 2, fmt.Sprintf("bytes=%d-", half)},
		"416": {content[:half], func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				whole(w, r)
				return
			}
			w.WriteHeader(416)
		}, 2, fmt.Sprintf("bytes=%d-", half)},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.handler)
			j := job(t, s.URL)
			j.Resume = true
			if c.there != nil {
				if err := os.WriteFile(j.Path, c.there, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			right(t, j, do(t, quick(), j)[0])
			if s.requests() != c.requests {
				t.Errorf("%d requests, want %d", s.requests(), c.requests)
			} else if c.requests > 0 && s.seen[0].Get("Range") != c.ranges {
				t.Errorf("asked for %q, want %q", s.seen[0].Get("Range"), c.ranges)
			}
		})
	}
}

// A file that changes between two tries is never put together from both.
func TestChangedMeanwhile(t *testing.T) {
	s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			raw(w, fmt.Sprintf("HTTP/1.1 200 OK\nETag: \"old\"\nContent-Length: %d", len(content)), bytes.Repeat([]byte("x"), 1000))
			return
		}
		whole(w, r)
	})
	j := job(t, s.URL)
	right(t, j, do(t, quick(), j)[0])
	if s.requests() != 2 || s.seen[1].Get("If-Range") != `"old"` {
		t.Errorf("%d requests, If-Range %q", s.requests(), s.seen[1].Get("If-Range"))
	}
}

// Without a hash what is there counts for nothing.
func TestNoResumeWithoutHash(t *testing.T) {
	s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { whole(w, r) })
	j := job(t, s.URL)
	j.Resume, j.SHA256 = true, ""
	if err := os.WriteFile(j.Path, []byte("xxxx"), 0o600); err != nil {
		t.Fatal(err)
	}
	right(t, j, do(t, quick(), j)[0])
	if s.seen[0].Get("Range") != "" {
		t.Error("asked for a part")
	}
}

func TestConditional(t *testing.T) {
	s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { whole(w, r) })
	j := job(t, s.URL)
	j.ETag, j.Size, j.SHA256, j.Max = `"one"`, -1, "", 1<<20
	if e := do(t, quick(), j)[0]; !e.NotModified || e.Kind != fetch.Done || e.ETag != `"one"` {
		t.Errorf("%+v", e)
	}
	j.ETag = `"two"`
	right(t, j, do(t, quick(), j)[0])
	j.ETag, j.Modified = "", "Sat, 11 Jul 2026 10:16:37 GMT"
	right(t, j, do(t, quick(), j)[0])
	if got := s.seen[2].Get("If-Modified-Since"); got != j.Modified {
		t.Errorf("If-Modified-Since %q", got)
	}
}

func TestManyJobs(t *testing.T) {
	s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "7") {
			w.WriteHeader(404)
			return
		}
		whole(w, r)
	})
	var jobs []fetch.Job
	for i := range 40 {
		jobs = append(jobs, job(t, fmt.Sprintf("%s/%d", s.URL, i)))
	}
	for i, e := range do(t, quick(), jobs...) {
		if i%10 == 7 {
			if e.Cause != fetch.NotFound {
				t.Errorf("%d: %+v", i, e)
			}
			continue
		}
		right(t, jobs[i], e)
	}
}

func TestBadInput(t *testing.T) {
	for _, text := range []string{"not JSON\n", "{\n", strings.Repeat("x", 2<<20)} {
		if err := work(t.Context(), quick(), 1, strings.NewReader(text), io.Discard); err == nil {
			t.Errorf("%.20q: no error", text)
		}
	}
}
