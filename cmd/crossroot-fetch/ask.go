package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/crossroot/crossroot/internal/fetch"
)

// start makes the connections' pool.
func (g *getter) start() {
	dialer := &net.Dialer{Timeout: g.connect, KeepAlive: 30 * time.Second}
	g.transport = &http.Transport{
		Proxy:                  proxy,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // the files are compressed, and their sums are of what is stored
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    g.connect,
		ResponseHeaderTimeout:  g.idle,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// mostRedirects is how often a server may send us on.
const mostRedirects = 10

// ask sends the request, and follows redirects within the same scheme or from http to https.
func (t *transfer) ask(ctx context.Context) (*http.Response, error) {
	at, err := url.Parse(t.job.URL)
	if err != nil {
		return nil, final(fetch.BadJob, "invalid URL")
	}
	for range mostRedirects + 1 {
		resp, err := t.transport.RoundTrip(t.request(ctx, at))
		if err != nil {
			return nil, unreachable(ctx, at, err)
		}
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return resp, nil
		}
		resp.Body.Close()
		next, err := at.Parse(resp.Header.Get("Location"))
		switch {
		case err != nil || resp.Header.Get("Location") == "":
			return nil, final(fetch.Redirect, "the server redirects to an invalid URL")
		case next.Scheme != at.Scheme && (at.Scheme != "http" || next.Scheme != "https"):
			return nil, final(fetch.Redirect, "the server redirects from %s to %q", at.Scheme, next.Scheme+":")
		case next.Host == "" || next.User != nil:
			return nil, final(fetch.Redirect, "the server redirects to an invalid URL")
		}
		at = next
	}
	return nil, final(fetch.Redirect, "the server redirects more than %d times", mostRedirects)
}

func (t *transfer) request(ctx context.Context, to *url.URL) *http.Request {
	h := http.Header{}
	h.Set("User-Agent", "crossroot-fetch")
	h.Set("Accept-Encoding", "identity")
	if t.job.SHA256 == "" { // it may change: proxies must ask
		h.Set("Cache-Control", "max-age=0")
	}
	if t.part.size > 0 {
		h.Set("Range", fmt.Sprintf("bytes=%d-", t.part.size))
		if t.validator != "" {
			h.Set("If-Range", t.validator)
		}
	} else if t.job.ETag != "" {
		h.Set("If-None-Match", t.job.ETag)
	} else if t.job.Modified != "" {
		h.Set("If-Modified-Since", t.job.Modified)
	}
	req := (&http.Request{Method: http.MethodGet, URL: to, Host: to.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	if to.User != nil {
		password, _ := to.User.Password()
		req.SetBasicAuth(to.User.Username(), password)
	}
	return req
}

// unreachable says why there was no answer.
func unreachable(ctx context.Context, to *url.URL, err error) *failure {
	var name *net.DNSError
	var timeout net.Error
	var bad *proxyError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return final(fetch.Timeout, "took too long in all")
	case errors.As(err, &name) && name.IsNotFound:
		return final(fetch.Unreachable, "there is no host %q", name.Name)
	case errors.As(err, &bad):
		return final(fetch.Unreachable, "%v", bad)
	case errors.As(err, &timeout) && timeout.Timeout():
		return passing(fetch.Timeout, "%s doesn't answer: %v", to.Host, err)
	}
	return passing(fetch.Unreachable, "%s can't be reached: %v", to.Host, err)
}
