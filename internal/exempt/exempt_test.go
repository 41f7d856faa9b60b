package exempt

import (
	"strings"
	"testing"

	"github.com/crossroot/crossroot/internal/tree"
)

func TestExemptions(t *testing.T) {
	list, err := Default()
	if err != nil || len(list) == 0 {
		t.Fatalf("%d exemptions, %v", len(list), err)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"x": "parse", "[[exempt]]\npath='a'\nreason='b'\naspect='smell'": "aspect",
		"[[exempt]]\npath='a'\naspect='mode'": "no reason", "[[exempt]]\nreason='b'\naspect='mode'": "no path",
		"[[exempt]]\npath='a'\nreason='b'\naspect='mode'\nmask='x'":    "mask",
		"[[exempt]]\npath='a'\nreason='b'\naspect='content'\nmask='('": "missing",
		"[[exempt]]\npath='['\nreason='b'\naspect='mode'":              "syntax",
		"[[exempt]]\npath='a'\nreason='b'\naspect='mode'\ncolor='x'":   "unknown key",
		"[[exempt]]\npath='a'\nreason='b'\naspect='mode'\nwho='x'":     "who",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func TestJudge(t *testing.T) {
	list, err := parse(`
[[exempt]]
path = "log/*"
aspect = "content"
mask = '\d+'
reason = "times"
[[exempt]]
path = "dev/*"
aspect = "presence"
who = "user"
reason = "no devices"
[[exempt]]
path = "day"
aspect = "content"
sometimes = "another day"
reason = "day"`)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][2]string{"log/a": {"at 1", "at 22"}, "log/b": {"at 1", "after 2"}}
	content := func(path string) (a, b []byte, err error) { return []byte(files[path][0]), []byte(files[path][1]), nil }
	d := func(path string, aspect tree.Aspect) tree.Difference {
		return tree.Difference{Path: path, Aspect: aspect}
	}
	tests := []struct {
		name         string
		diffs        []tree.Difference
		user         bool
		left, unused string
	}{
		{"none as root", nil, false, "", "log/*"},
		{"none as user", nil, true, "", "log/* dev/*"},
		{"masked", []tree.Difference{d("log/a", tree.Content)}, false, "", ""},
		{"not masked", []tree.Difference{d("log/b", tree.Content)}, false, "log/b", "log/*"},
		{"other aspect", []tree.Difference{d("log/a", tree.Content), d("log/a", tree.Mode)}, false, "log/a", ""},
		{"root's devices", []tree.Difference{d("log/a", tree.Content), d("dev/null", tree.Presence)}, false, "dev/null", ""},
		{"user's devices", []tree.Difference{d("log/a", tree.Content), d("dev/null", tree.Presence)}, true, "", ""},
		{"deeper", []tree.Difference{d("log/a", tree.Content), d("dev/x/null", tree.Presence)}, true, "dev/x/null", "dev/*"},
	}
	for _, tt := range tests {
		left, unused, err := Judge(tt.diffs, list, tt.user, content)
		if err != nil {
			t.Fatal(err)
		}
		var l, u []string
		for _, d := range left {
			l = append(l, d.Path)
		}
		for _, e := range unused {
			u = append(u, e.Path)
		}
		if strings.Join(l, " ") != tt.left || strings.Join(u, " ") != tt.unused {
			t.Errorf("%s: left %q, unused %q", tt.name, l, u)
		}
	}
}
