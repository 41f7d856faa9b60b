package toolroot

import (
	"strings"
	"testing"
	"time"
)

// TestHost builds a tool root from the machine that the test runs on.
func TestHost(t *testing.T) {
	start := time.Now()
	r := openHost(t, "armhf")
	t.Logf("%d tools, %d files, %d MB in %v", len(r.Index.Tools), r.Index.Files, r.Index.Bytes>>20, time.Since(start))
	if len(r.Index.Tools) < 50 {
		t.Errorf("only %d tools", len(r.Index.Tools))
	}
	for _, s := range r.Index.Skipped {
		if strings.Contains(s.Reason, "which is missing") {
			t.Errorf("%s: %s", s.Source, s.Reason)
		}
		t.Log(s)
	}
	list, err := r.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range r.Index.Tools {
		if tool.Unavailable == "" && !tool.Static && len(tool.Rewrites) == 0 {
			t.Errorf("%s: nothing was rewritten", tool.Path)
		}
	}
	for _, f := range list {
		for _, c := range f.Rewrites {
			if c.Number == 0 && c.Old != "" && len(c.New) > len(c.Old) {
				t.Errorf("%s: %q over %q", f.Path, c.New, c.Old)
			}
		}
	}
}
