package toolroot

import (
	"testing"

	"github.com/crossroot/crossroot/internal/arch"
)

// One program comes alone, with what it needs, and apart from the tool root of the whole source.
func TestOnly(t *testing.T) {
	armhf, _ := arch.Lookup("armhf")
	o := Options{Cache: t.TempDir(), Target: armhf}
	r, err := Open(t.Context(), Source{Root: "/", Only: "/usr/bin/env"}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(r.Index.Tools) != 1 || r.Index.Tools[0].Source != "/usr/bin/env" || r.Index.Perl != nil {
		t.Errorf("tools %+v", r.Index.Tools)
	}
	again, err := Open(t.Context(), Source{Root: "/", Only: "/usr/bin/env"}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Key != r.Key {
		t.Errorf("second opening: key %s, not %s", again.Key, r.Key)
	}
	if _, err := Ready(Source{Root: "/"}, o.Cache); err == nil {
		t.Error("the whole source counts as built")
	}
}
