package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crossroot/crossroot/internal/fetch"
)

// content is what the server has, 300 KiB.
var content = bytes.Repeat([]byte("0123456789abcdef"), 300<<10/16)

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// server is one with faults, on this machine alone.
type server struct {
	*httptest.Server
	mu   sync.Mutex
	seen []http.Header
}

// serve starts a server whose handler is called with the number of the request, from 1.
func serve(t *testing.T, handler func(n int, w http.ResponseWriter, r *http.Request)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, r.Header.Clone())
		n := len(s.seen)
		s.mu.Unlock()
		handler(n, w, r)
	}))
	s.Config.ErrorLog = nil
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func (s *server) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// quick is a getter that doesn't wait long.
func quick() *getter {
	g := newGetter()
	g.connect, g.idle, g.total, g.rate, g.tries, g.pause = time.Second, 200*time.Millisecond, 3*time.Second, 1<<30, 3, time.Millisecond
	return g
}

// do runs jobs through the program's own protocol and returns the last event of each.
func do(t *testing.T, g *getter, jobs ...fetch.Job) []fetch.Event {
	t.Helper()
	var in, out bytes.Buffer
	for i := range jobs {
		jobs[i].ID = i
		if err := json.NewEncoder(&in).Encode(jobs[i]); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	if err := work(t.Context(), g, 4, &in, &out); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	last := make([]fetch.Event, len(jobs))
	for d := json.NewDecoder(&out); ; {
		var e fetch.Event
		if err := d.Decode(&e); err == io.EOF {
			return last
		} else if err != nil {
			t.Fatal(err)
		}
		if last[e.ID].Kind == fetch.Done || last[e.ID].Kind == fetch.Failed {
			t.Errorf("job %d goes on after its end", e.ID)
		}
		last[e.ID] = e
	}
}

func job(t *testing.T, url string) fetch.Job {
	t.Helper()
	return fetch.Job{URL: url, Path: filepath.Join(t.TempDir(), "got"), Size: int64(len(content)), SHA256: sumOf(content)}
}

// whole answers as a good server does, ranges and conditions included.
func whole(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"one"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// hijack takes the connection.
func hijack(w http.ResponseWriter) net.Conn {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	return c
}

// raw answers with text of its own and closes.
func raw(w http.ResponseWriter, text string, body []byte) {
	c := hijack(w)
	fmt.Fprint(c, strings.ReplaceAll(text, "\n", "\r\n")+"\r\n\r\n")
	_, _ = c.Write(body)
	_ = c.Close()
}

// cutAt sends the head of a whole answer and some of its body, and ends the connection.
func cutAt(w http.ResponseWriter, n int) {
	raw(w, fmt.Sprintf("HTTP/1.1 200 OK\nETag: \"one\"\nContent-Length: %d", len(content)), content[:n])
}

// hang sends nothing more until the other side has enough.
func hang(w http.ResponseWriter, r *http.Request) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	select {
	case <-r.Context().Done():
	case <-time.After(5 * time.Second):
	}
}
