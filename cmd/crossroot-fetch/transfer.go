package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/crossroot/crossroot/internal/fetch"
)

// transfer is a job under way.
type transfer struct {
	*getter
	job       fetch.Job
	part      *part
	progress  *progress
	validator string // of the answer that the part is from: a strong ETag, or a time
}

// try asks once and writes down what comes.
func (t *transfer) try(ctx context.Context) (fetch.Event, error) {
	if t.part.size == t.job.Size && t.job.SHA256 != "" {
		if t.part.digest() == t.job.SHA256 {
			return fetch.Event{Bytes: t.part.size, SHA256: t.job.SHA256}, nil
		}
		if err := t.part.restart(); err != nil {
			return fetch.Event{}, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := t.ask(ctx)
	if err != nil {
		return fetch.Event{}, err
	}
	defer resp.Body.Close()
	done := fetch.Event{ETag: resp.Header.Get("ETag"), Modified: modified(resp.Header)}
	if resp.StatusCode == http.StatusNotModified && t.conditional() {
		done.NotModified = true
		return done, nil
	}
	if err := t.accept(resp); err != nil {
		return fetch.Event{}, err
	}
	if err := t.copy(ctx, cancel, resp); err != nil {
		return fetch.Event{}, err
	}
	done.Bytes, done.SHA256 = t.part.size, t.part.digest()
	return done, t.check(done.SHA256)
}

// conditional says whether the question may be answered by "not modified".
func (t *transfer) conditional() bool {
	return t.part.size == 0 && (t.job.ETag != "" || t.job.Modified != "")
}

// accept looks at an answer's head and makes the part ready for its body.
func (t *transfer) accept(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		if t.part.size > 0 {
			if err := t.part.restart(); err != nil {
				return err
			}
		}
	case code == http.StatusPartialContent && t.part.size == 0:
		return final(fetch.Status, "the server sent a part of the file though all of it was asked for")
	case code == http.StatusPartialContent:
		var first, last, whole int64
		n, _ := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &whole)
		if n < 2 || first != t.part.size || last < first || n == 3 && t.job.Size >= 0 && whole != t.job.Size {
			return t.startOver(fetch.Status, "the server sent another part of the file than asked for")
		}
		t.part.mixed = true
	case code == http.StatusRequestedRangeNotSatisfiable && t.part.size > 0:
		return t.startOver(fetch.Status, "the server's file is shorter than what is here already")
	case code == http.StatusNotFound || code == http.StatusGone:
		return final(fetch.NotFound, "the server has no such file (status %d)", code)
	case code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusProxyAuthRequired:
		return final(fetch.Refused, "the server refuses (status %d)", code)
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return passing(fetch.Status, "the server answers with status %d", code)
	default:
		return final(fetch.Status, "the server answers with status %d", code)
	}
	t.validator = strongValidator(resp.Header)
	if n := resp.ContentLength; n >= 0 {
		if whole := t.part.size + n; t.job.Size >= 0 && whole != t.job.Size {
			return final(fetch.WrongSize, "the server's file has %d bytes, not %d%s", whole, t.job.Size, portal(resp.Header))
		} else if whole > t.part.limit {
			return final(fetch.WrongSize, "the server's file has %d bytes, more than the %d allowed", whole, t.part.limit)
		}
	}
	return nil
}

// startOver drops what is there already and asks for another try.
func (t *transfer) startOver(cause fetch.Cause, text string) error {
	if err := t.part.restart(); err != nil {
		return err
	}
	return passing(cause, "%s", text)
}

var errIdle = errors.New("nothing came")

// copy writes an answer's body to the part.
func (t *transfer) copy(ctx context.Context, cancel context.CancelCauseFunc, resp *http.Response) error {
	idle := time.AfterFunc(t.idle, func() { cancel(errIdle) })
	defer idle.Stop()
	buf := make([]byte, 64<<10)
	speed := speed{time.Now(), t.part.size}
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			idle.Reset(t.idle)
			if _, err := t.part.Write(buf[:n]); err != nil {
				return err
			}
			t.progress.at(t.part.size)
			if speed.below(t.getter, t.part.size) {
				return passing(fetch.Timeout, "too slow: less than %d bytes per second", t.rate)
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(context.Cause(ctx), errIdle):
			return passing(fetch.Timeout, "nothing came for %v", t.idle)
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return final(fetch.Timeout, "too slow: %d bytes in the time allowed", t.part.size)
		default:
			return passing(fetch.Cut, "the connection ended after %d bytes: %v", t.part.size, err)
		}
	}
}

// speed is how much there was at a time.
type speed struct {
	since time.Time
	size  int64
}

// below says whether too little came in a window that has ended, and begins the next.
func (s *speed) below(g *getter, size int64) bool {
	took := time.Since(s.since)
	if took < g.window {
		return false
	}
	slow := float64(size-s.size) < took.Seconds()*float64(g.rate)
	*s = speed{time.Now(), size}
	return slow
}

// check says whether the file is what it must be. A wrong one that was put together from parts gets another try.
func (t *transfer) check(sum string) error {
	if t.job.Size >= 0 && t.part.size < t.job.Size {
		return passing(fetch.Cut, "the server sent %d of %d bytes", t.part.size, t.job.Size)
	}
	if t.job.SHA256 == "" || sum == t.job.SHA256 {
		return nil
	}
	text := fmt.Sprintf("its SHA256 is %s, not %s", sum, t.job.SHA256)
	if t.part.mixed {
		return t.startOver(fetch.WrongHash, text)
	}
	if err := t.part.restart(); err != nil { // nothing to resume from
		return err
	}
	return final(fetch.WrongHash, "%s", text)
}

// modified is the time to send as If-Modified-Since: when the file was last changed, else when it was sent (RFC 9110, 13.1.3).
func modified(h http.Header) string {
	if m := h.Get("Last-Modified"); m != "" {
		return m
	}
	return h.Get("Date")
}

// strongValidator is what If-Range may have (RFC 9110, 13.1.5).
func strongValidator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}

func portal(h http.Header) string {
	if strings.HasPrefix(h.Get("Content-Type"), "text/html") {
		return " and is a web page (a portal that wants a login?)"
	}
	return ""
}
