package toolroot

import (
	"testing"
	"time"

	"github.com/crossroot/crossroot/internal/arch"
)

// TestHost builds a tool root from the machine that the test runs on.
func TestHost(t *testing.T) {
	armhf, _ := arch.Lookup("armhf")
	o := Options{Cache: t.TempDir() + "/cache", Target: armhf}
	start := time.Now()
	r, err := Open(t.Context(), Source{"/"}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	built := time.Since(start)
	start = time.Now()
	again, err := Open(t.Context(), Source{"/"}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	t.Logf("%d tools, %d files, %d bytes; built in %v, checked in %v", len(r.Index.Tools), r.Index.Files, r.Index.Bytes, built, time.Since(start))
	for _, s := range r.Index.Skipped {
		t.Log(s)
	}
	for _, name := range []string{"/bin/sh", "/usr/bin/dash", "/usr/bin/dpkg"} {
		tool, ok := r.Lookup(name)
		t.Logf("%+v %v %s", tool, ok, r.Missing(name))
	}
}
