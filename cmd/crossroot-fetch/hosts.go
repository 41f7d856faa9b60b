package main

import (
	"errors"
	"net/url"
	"sync"

	"github.com/crossroot/crossroot/internal/fetch"
)

// mostFailures is how many files in a row may fail, each after all its tries, before the others from the same server are
// given up: of hundreds of packages each would take its time.
const mostFailures = 4

// hosts are the servers that failed.
type hosts struct {
	mu     sync.Mutex
	failed map[string]int // in a row
	last   map[string]*failure
}

func hostOf(j fetch.Job) string {
	u, err := url.Parse(j.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// note counts how a file ended: after all tries or all its time, or with an answer.
func (h *hosts) note(host string, err error) {
	var f *failure
	h.mu.Lock()
	defer h.mu.Unlock()
	if !errors.As(err, &f) || !f.again && f.cause != fetch.Timeout {
		delete(h.failed, host)
		return
	}
	if h.failed == nil {
		h.failed, h.last = map[string]int{}, map[string]*failure{}
	}
	h.failed[host]++
	h.last[host] = f
}

// given returns the last failure of a server that is given up, else nil.
func (h *hosts) given(host string) *failure {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed[host] < mostFailures {
		return nil
	}
	return h.last[host]
}
