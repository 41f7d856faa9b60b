package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/crossroot/crossroot/internal/fetch"
)

// getter gets files within its limits.
type getter struct {
	connect, idle, total time.Duration
	window               time.Duration
	rate                 int64 // bytes per second, the least in each window
	tries                int
	pause                time.Duration

	transport *http.Transport
	hosts     hosts
}

func newGetter() *getter {
	return &getter{connect: 20 * time.Second, idle: 30 * time.Second, total: 10 * time.Minute, window: time.Minute, rate: 1 << 10, tries: 4, pause: 500 * time.Millisecond}
}

// failure is why a try failed, and whether another one may help.
type failure struct {
	cause fetch.Cause
	again bool
	text  string
}

func (f *failure) Error() string { return f.text }

func final(cause fetch.Cause, format string, args ...any) *failure {
	return &failure{cause, false, fmt.Sprintf(format, args...)}
}

func passing(cause fetch.Cause, format string, args ...any) *failure {
	return &failure{cause, true, fmt.Sprintf(format, args...)}
}

// get does a job to its end.
func (g *getter) get(ctx context.Context, j fetch.Job, p *progress) fetch.Event {
	host := hostOf(j)
	if last := g.hosts.given(host); last != nil {
		return fetch.Event{ID: j.ID, Kind: fetch.Failed, Cause: last.cause,
			Message: printable(fmt.Sprintf("not tried, as the last %d from there failed: %s", mostFailures, last.text))}
	}
	done, err := g.attempts(ctx, j, p)
	g.hosts.note(host, err)
	if err == nil {
		done.ID, done.Kind = j.ID, fetch.Done
		return done
	}
	var f *failure
	if !errors.As(err, &f) {
		f = final(fetch.Local, "%v", err)
	}
	return fetch.Event{ID: j.ID, Kind: fetch.Failed, Cause: f.cause, Message: printable(f.text)}
}

func (g *getter) attempts(ctx context.Context, j fetch.Job, p *progress) (fetch.Event, error) {
	if err := checkJob(j); err != nil {
		return fetch.Event{}, err
	}
	limit := j.Max
	if j.Size >= 0 {
		limit = j.Size
	}
	ctx, cancel := context.WithTimeout(ctx, g.total+time.Duration(max(j.Size, 0)/g.rate)*time.Second)
	defer cancel()
	part, err := openPart(j, limit)
	if err != nil {
		return fetch.Event{}, err
	}
	defer part.close()
	t := &transfer{getter: g, job: j, part: part, progress: p}
	for try := 1; ; try++ {
		done, err := t.try(ctx)
		var f *failure
		if err == nil || !errors.As(err, &f) || !f.again {
			return done, err
		}
		if try >= g.tries {
			f.text = fmt.Sprintf("%s (tried %d times)", f.text, try)
			return done, f
		}
		select {
		case <-ctx.Done():
			return done, final(fetch.Timeout, "took too long in all; last: %s", f.text)
		case <-time.After(g.pause << min(try-1, 6)):
		}
	}
}

func checkJob(j fetch.Job) error {
	u, err := url.Parse(j.URL)
	switch {
	case err != nil:
		return final(fetch.BadJob, "invalid URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return final(fetch.BadJob, "can't get %q URLs", u.Scheme)
	case u.Host == "":
		return final(fetch.BadJob, "URL has no host")
	case j.Path == "":
		return final(fetch.BadJob, "job has no path")
	case j.Size < -1 || j.Size == -1 && j.Max <= 0:
		return final(fetch.BadJob, "job has neither size nor limit")
	case j.SHA256 != "" && (len(j.SHA256) != 64 || strings.Trim(j.SHA256, "0123456789abcdef") != ""):
		return final(fetch.BadJob, "invalid SHA256 in job")
	}
	return nil
}

// printable takes away what a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}
