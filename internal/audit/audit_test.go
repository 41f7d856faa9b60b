package audit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/tree"
)

const sumA, sumB = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"

func TestParse(t *testing.T) {
	got := md5sums(sumA + "  usr/bin/a\n" + sumB + "  ../../b\nx  c\n" + sumA + " d\n" + sumA + "  \n")
	if want := map[string]string{"usr/bin/a": sumA, "b": sumB}; !cmp.Equal(got, want) {
		t.Errorf("sums: %v", got)
	}
	d := diversions("/bin/a\n/bin/b\ndash\n/x\n/y\n:\n/cut\n")
	if want := map[string][2]string{"bin/a": {"bin/b", "dash"}, "x": {"y", ":"}}; !cmp.Equal(d, want) {
		t.Errorf("diversions: %v", d)
	}
	c := conffiles("Package: a\nConffiles:\n /etc/a " + sumA + "\n /etc/old " + sumB + " obsolete\n /etc/new newconffile\nDescription: x\n /etc/no " + sumA + "\n\nConffiles:\n /etc/b " + sumB + "\n")
	if want := map[string]map[string]string{"a": {"etc/a": sumA, "etc/old": sumB}}; !cmp.Equal(c, want) {
		t.Errorf("conffiles: %v", c)
	}
}

func TestResolve(t *testing.T) {
	r := resolver{known: map[string]string{"": ""}, through: map[string]bool{}, tree: &tree.Manifest{Entries: []tree.Entry{
		{Path: "bin", Type: tree.Symlink, Target: "usr/bin"}, {Path: "lib", Type: tree.Symlink, Target: "/usr/../../lib2"},
		{Path: "lib2", Type: tree.Dir}, {Path: "loop", Type: tree.Symlink, Target: "loop"}, {Path: "usr", Type: tree.Dir},
		{Path: "usr/bin", Type: tree.Dir},
	}}}
	for name, want := range map[string]string{
		"bin/a": "usr/bin/a", "bin": "bin", "lib/x/y": "lib2/x/y", "none/a": "none/a", "loop/a": "loop/a", "a": "a",
	} {
		if got := r.resolve(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if !r.through["bin"] || r.through["usr"] {
		t.Errorf("links: %v", r.through)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Package: a\nConffiles:\n /etc/a "+sumA+"\n", "x/../..")
	f.Add("/bin/a\n/bin/b\ndash\n", "/a")
	f.Fuzz(func(t *testing.T, text, target string) {
		for _, c := range conffiles(text) {
			for name := range c {
				inside(t, name)
			}
		}
		for name := range md5sums(text) {
			inside(t, name)
		}
		for name, d := range diversions(text) {
			inside(t, name)
			inside(t, d[0])
		}
		r := resolver{known: map[string]string{"": ""}, through: map[string]bool{}, tree: &tree.Manifest{Entries: []tree.Entry{
			{Path: "a", Type: tree.Symlink, Target: target}, {Path: "b", Type: tree.Symlink, Target: "a/" + target},
		}}}
		inside(t, r.resolve("a/b/c"))
	})
}

func inside(t *testing.T, name string) {
	if strings.HasPrefix(name, "/") || name == ".." || strings.HasPrefix(name, "../") {
		t.Fatalf("%q leads out", name)
	}
}
