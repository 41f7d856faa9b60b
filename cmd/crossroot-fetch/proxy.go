package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

// proxyError says that a variable of the environment should name a proxy and doesn't.
type proxyError struct{ variable string }

func (e *proxyError) Error() string {
	return fmt.Sprintf("%s in the environment is no proxy's address, such as http://HOST:PORT", e.variable)
}

// proxy finds the proxy for a request. Package http takes a variable that it can't read for an empty one; who has set it
// wants something else than a direct connection.
func proxy(r *http.Request) (*url.URL, error) {
	names := []string{"http_proxy", "HTTP_PROXY"}
	if r.URL.Scheme == "https" {
		names = []string{"https_proxy", "HTTPS_PROXY"}
	}
	for _, name := range names {
		if v := os.Getenv(name); v != "" && !proxyAddress(v) {
			return nil, &proxyError{name}
		}
	}
	return http.ProxyFromEnvironment(r)
}

// proxyAddress says whether a text names a proxy: a URL, or HOST:PORT.
func proxyAddress(text string) bool {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	return err == nil && u.Hostname() != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, strings.ToLower(u.Scheme))
}
