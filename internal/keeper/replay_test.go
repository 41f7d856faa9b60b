package keeper

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseMounts(t *testing.T) {
	const table = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:5 / /srv/root/mnt rw - tmpfs t rw
31 21 0:6 /x /srv/root/a\040b/c\134d rw - tmpfs t rw
32 21 0:7 / /srv/root rw - tmpfs t rw
33 21 0:7 / /srv/rootless/x rw - tmpfs t rw
34
`
	for top, want := range map[string][]mounted{
		"/srv/root": {{"30", "0:5", "mnt"}, {"31", "0:6", `a b/c\d`}},
		"/srv/none": nil,
		"":          {{"30", "0:5", "srv/root/mnt"}, {"31", "0:6", `srv/root/a b/c\d`}, {"32", "0:7", "srv/root"}, {"33", "0:7", "srv/rootless/x"}},
	} {
		if got := parseMounts(table, top); !reflect.DeepEqual(got, want) {
			t.Errorf("below %q: %q, want %q", top, got, want)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add("30 21 0:5 / /srv/root/mnt rw - tmpfs t rw\n", "/srv/root")
	f.Fuzz(func(t *testing.T, text, top string) {
		for _, m := range parseMounts(text, top) {
			if m.path == "" || !strings.Contains(text, m.id) {
				t.Errorf("%q", m)
			}
		}
	})
}
