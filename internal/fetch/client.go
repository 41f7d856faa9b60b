package fetch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Client gets files. The zero value looks for crossroot-fetch where Find does.
type Client struct {
	Program string   // path of crossroot-fetch
	Args    []string // for it
	Root    *os.File // that file: URLs are resolved in; nil: the machine's own files
}

// Find returns the path of crossroot-fetch: $CROSSROOT_FETCH, beside this executable, or in PATH.
func Find() (string, error) {
	const name = "crossroot-fetch"
	if p := os.Getenv("CROSSROOT_FETCH"); p != "" {
		return p, nil
	}
	if exe, err := os.Executable(); err == nil {
		p := filepath.Join(filepath.Dir(exe), name)
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find %s: neither beside crossroot nor in PATH", name)
	}
	return p, nil
}

// Fetch does the jobs, whose IDs it sets, and returns a result for each. progress, which may be nil, is called by one
// goroutine at a time with the index of a job and how many bytes of its file are there.
func (c *Client) Fetch(ctx context.Context, jobs []Job, progress func(job int, bytes int64)) []Result {
	results := make([]Result, len(jobs))
	var remote []int
	for i := range jobs {
		jobs[i].ID = i
		if u, err := url.Parse(jobs[i].URL); err == nil && u.Scheme == "file" {
			results[i] = c.local(ctx, jobs[i], u)
		} else {
			remote = append(remote, i)
			results[i].Err = errPending
		}
	}
	if len(remote) == 0 {
		return results
	}
	err := c.run(ctx, jobs, remote, results, progress)
	for i := range results {
		switch {
		case !errors.Is(results[i].Err, errPending):
		case ctx.Err() != nil:
			results[i].Err = ctx.Err()
		default:
			results[i].Err = &Error{Redacted(jobs[i].URL), Helper, fmt.Sprintf("crossroot-fetch ended early: %v", err)}
		}
	}
	return results
}

var errPending = errors.New("not done")

// run has crossroot-fetch do the jobs with these indexes.
func (c *Client) run(ctx context.Context, jobs []Job, indexes []int, results []Result, progress func(int, int64)) error {
	program := c.Program
	if program == "" {
		var err error
		if program, err = Find(); err != nil {
			return err
		}
	}
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, i := range indexes {
		if err := enc.Encode(jobs[i]); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, program, c.Args...)
	cmd.Env = environment()
	cmd.Stdin = &in
	cmd.WaitDelay = 5 * time.Second
	// It dies with us, also when we are killed: otherwise it would write beside the next one. The kernel sends the signal
	// when the thread ends that started it, so this one is kept.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	tail := &tail{}
	cmd.Stderr = tail
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := readEvents(out, jobs, results, progress)
	if readErr != nil {
		_ = cmd.Process.Kill()
	}
	err = cmd.Wait()
	if text := tail.String(); err != nil && text != "" {
		err = fmt.Errorf("%w: %q", err, text)
	}
	return errors.Join(readErr, err)
}

// readEvents puts what crossroot-fetch says into the results.
func readEvents(r io.Reader, jobs []Job, results []Result, progress func(int, int64)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read its answer: %w", err)
		}
		if e.ID < 0 || e.ID >= len(jobs) || !errors.Is(results[e.ID].Err, errPending) {
			return fmt.Errorf("it answered job %d, which is none or done", e.ID)
		}
		switch e.Kind {
		case Progress:
			if progress != nil {
				progress(e.ID, e.Bytes)
			}
		case Done:
			results[e.ID] = Result{Bytes: e.Bytes, SHA256: e.SHA256, ETag: e.ETag, Modified: e.Modified, NotModified: e.NotModified}
		case Failed:
			results[e.ID] = Result{Err: &Error{Redacted(jobs[e.ID].URL), e.Cause, e.Message}}
		default:
			return fmt.Errorf("it answered with %q", e.Kind)
		}
	}
	return lines.Err()
}

// environment passes on what concerns the network, and nothing else.
func environment() (env []string) {
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// Redacted is a URL for people to read: without a password, and without characters that a terminal obeys.
func Redacted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(invalid URL)"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, u.Redacted())
}

// tail keeps the last bytes of what a program says.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-1000):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
