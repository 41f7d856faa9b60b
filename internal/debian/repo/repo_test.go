package repo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/debian/sources"
	"github.com/crossroot/crossroot/internal/fetch"
)

func TestGet(t *testing.T) {
	c := newMirror(t).sign().write().config()
	count := c.Fetch.(*counter)
	paths, err := get(t, c)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"deb of xx 2.0", "deb of yy 1:3~rc1"} {
		if got, err := os.ReadFile(paths[i]); string(got) != want {
			t.Errorf("%s: %q, %v", paths[i], got, err)
		}
	}
	if d := cmp.Diff([]string{"InRelease", "Packages.gz", "Packages.gz", "xx_2.0_amd64.deb", "yy_1:3~rc1_amd64.deb"}, count.asked()); d != "" {
		t.Error(d)
	}
	again, err := get(t, c)
	if d := cmp.Diff(paths, again); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if d := cmp.Diff([]string{"InRelease"}, count.asked()); d != "" {
		t.Error("warm:", d)
	}
	c.Offline = true
	if _, err := get(t, c); err != nil || count.asked() != nil {
		t.Error("offline:", err)
	}
	if left, _ := filepath.Glob(c.Cache + "/debian/partial/*"); left != nil {
		t.Errorf("left: %q", left)
	}
}

// The server says that nothing changed.
func TestConditional(t *testing.T) {
	m := newMirror(t).sign().write()
	c := m.config()
	count := c.Fetch.(*counter)
	conditional := false
	count.answer = func(j fetch.Job) *fetch.Result {
		if !strings.HasSuffix(j.URL, "InRelease") {
			return nil
		}
		if conditional = j.ETag == `"one"` && j.Modified == "then"; conditional {
			return &fetch.Result{NotModified: true}
		}
		r := count.inner.Fetch(t.Context(), []fetch.Job{j}, nil)[0]
		r.ETag, r.Modified = `"one"`, "then"
		return &r
	}
	for i, want := range []bool{false, true, true} {
		if _, err := get(t, c); err != nil || conditional != want {
			t.Errorf("%d: conditional %v, %v", i, conditional, err)
		}
	}
	// a copy that was damaged is asked for anew
	copies, _ := filepath.Glob(c.Cache + "/debian/release/*/InRelease")
	if err := os.WriteFile(copies[0], []byte("<html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, c); err != nil || conditional {
		t.Errorf("damaged copy: conditional %v, %v", conditional, err)
	}
}

// Other ways to lay a repository out.
func TestLayouts(t *testing.T) {
	for name, make := range map[string]func(m *mirror) string{
		"Release.gpg": func(m *mirror) string { m.signOld(); return "" },
		"by hash": func(m *mirror) string {
			m.extra += "Acquire-By-Hash: yes\n"
			for _, n := range m.list {
				m.files[filepath.Dir(n)+"/by-hash/SHA256/"+sumOf(m.files[n])] = m.files[n]
			}
			m.sign()
			for _, n := range m.list {
				delete(m.files, n)
			}
			return ""
		},
		"by hash, promised only": func(m *mirror) string { m.extra += "Acquire-By-Hash: yes\n"; m.sign(); return "" },
		"plain only":             func(m *mirror) string { m.list = []string{m.list[0], m.list[2]}; m.sign(); return "" },
		"compressed only": func(m *mirror) string {
			m.list = []string{m.list[1], m.list[3]}
			m.sign()
			delete(m.files, "dists/stable/main/binary-amd64/Packages")
			return ""
		},
		"best one missing": func(m *mirror) string {
			m.sign()
			delete(m.files, "dists/stable/main/binary-amd64/Packages.gz")
			return ""
		},
		"best one wrong":   func(m *mirror) string { m.sign(); m.files[packagesGz] = []byte("hello"); return "" },
		"best one no gzip": func(m *mirror) string { m.files[packagesGz] = []byte("hello"); m.sign(); return "" },
		"all apart": func(m *mirror) string {
			m.extra = strings.Replace(m.extra, "amd64", "all amd64", 1)
			name := "dists/stable/main/binary-all/Packages"
			m.files[name] = []byte(strings.ReplaceAll(string(m.debs["contrib"]), "Architecture: amd64", "Architecture: all"))
			m.list = append(m.list[:2], name)
			m.sign()
			return "deb file:" + m.dir + " stable main"
		},
		"flat":         func(m *mirror) string { return flat(m, "./") },
		"flat, deeper": func(m *mirror) string { return flat(m, "a/b/") },
		"$(ARCH)": func(m *mirror) string {
			m.sign()
			for n, data := range m.files {
				m.files[strings.Replace(n, "dists/stable/", "dists/stable-amd64/", 1)] = data
			}
			return "deb file:" + m.dir + " stable-$(ARCH) main contrib"
		},
		"in two lines": func(m *mirror) string {
			m.sign()
			return "deb file:" + m.dir + " stable main\ndeb file:" + m.dir + "/ stable contrib main"
		},
		"for another architecture": func(m *mirror) string { m.sign(); return "deb [arch=armhf] file:" + m.dir + " stable main contrib" },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t)
			line := make(m)
			c := m.write().config()
			if line != "" {
				all, err := sources.Parse("t.list", []byte(line))
				if err != nil {
					t.Fatal(err)
				}
				c.Sources, c.For = all, "armhf"
				if !strings.Contains(line, "armhf") {
					c.For = ""
				}
			}
			for range 2 {
				if _, err := get(t, c); err != nil {
					t.Fatal(err)
				}
			}
			c.Offline = true
			if _, err := get(t, c); err != nil {
				t.Errorf("offline: %v", err)
			}
		})
	}
}

// flat makes a repository without dists.
func flat(m *mirror, dir string) string {
	at := strings.TrimPrefix(dir, "./")
	all := append(append([]byte(nil), m.debs["main"]...), m.debs["contrib"]...)
	m.files[at+"Packages"] = all
	m.extra, m.list = "Origin: flat\n", nil
	text := m.release() + " " + sumOf(all) + " " + fmt.Sprint(len(all)) + " Packages\n"
	m.files[at+"InRelease"] = m.clear(text)
	return "deb file:" + m.dir + " " + dir
}

func TestResolve(t *testing.T) {
	m := newMirror(t)
	for _, v := range []string{"1.5-1+b1", "1.5-1+b3", "3.0-1", "3.0-2"} {
		m.add("main", "zz", v)
	}
	m.index("main")
	r, err := Open(t.Context(), m.sign().write().config())
	if err != nil {
		t.Fatal(err)
	}
	for want, got := range map[string]string{
		"": "3.0-2", "3.0-1": "3.0-1", "0:3.0-1": "3.0-1", "3.0-2": "3.0-2", "3.0-1+b2": "3.0-1", "1.5-1": "1.5-1+b3", "1.5-1+b2": "1.5-1+b3", "1.5-1+b1": "1.5-1+b1",
		"1.0": "1.5-1+b1", "2.0": "3.0-1", "3.0-1.1": "3.0-2", "4.0": "3.0-2", "1:1": "3.0-2",
	} {
		if p, err := r.Resolve("zz", want); err != nil || p.Version != got {
			t.Errorf("%q: %q, want %q, %v", want, p.Version, got, err)
		}
	}
	var none *NotFoundError
	if _, err := r.Resolve("nothing", "1"); !errors.As(err, &none) {
		t.Error(err)
	}
	if found, err := r.Find("xx"); err != nil || len(found) != 2 || found[0].Version != "2.0" || found[0].Repository != "file:"+m.dir+" stable" {
		t.Errorf("%+v, %v", found, err)
	}
}

// The same content in several places: empty indexes, a package under two names.
func TestSameContent(t *testing.T) {
	m := newMirror(t)
	m.debs["a"], m.debs["b"] = nil, nil
	m.index("a", "b")
	m.debs["main"] = append(m.debs["main"], strings.Replace(string(m.debs["main"]), "Package: xx\nVersion: 1.0", "Package: ww\nVersion: 1.0", 1)...)
	m.index("main")
	c := m.sign().write().config()
	c.Sources[0].Components = []string{"main", "contrib", "a", "b"}
	r, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var ps []Package
	for _, name := range []string{"xx", "ww", "xx", "ww"} {
		p, err := r.Resolve(name, "1.0")
		if err != nil || p.Version != "1.0" {
			t.Fatal(p, err)
		}
		ps = append(ps, p)
	}
	paths, err := r.Fetch(t.Context(), ps)
	if err != nil || paths[0] == paths[1] || paths[0] != paths[2] {
		t.Errorf("%q, %v", paths, err)
	}
	for _, p := range paths {
		if got, err := os.ReadFile(p); string(got) != "deb of xx 1.0" {
			t.Errorf("%s: %q, %v", p, got, err)
		}
	}
}
