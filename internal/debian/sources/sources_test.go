package sources

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var yes, no = true, false

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		want       []Source
	}{
		"empty": {"a.list", "\n# deb x\n", nil},
		"lines": {"a.list", "deb http://m.test/debian/ bookworm main contrib # all\ndeb-src http://m.test/debian bookworm main\n" +
			"deb [ arch=armhf,arm64 signed-by=/k.gpg trusted=yes ] http://m.test/d ./\n", []Source{
			{File: "a.list", Line: 1, URI: "http://m.test/debian", Suite: "bookworm", Components: []string{"main", "contrib"}},
			{File: "a.list", Line: 3, URI: "http://m.test/d", Suite: "./", Flat: true, Components: []string{},
				Archs: []string{"armhf", "arm64"}, SignedBy: []string{"/k.gpg"}, Trusted: &yes},
		}},
		"options": {"a.list", "deb [arch+=i386 arch-=amd64 check-valid-until=no lang=en] https://m.test x/updates main\n", []Source{
			{File: "a.list", Line: 1, URI: "https://m.test", Suite: "x/updates", Components: []string{"main"},
				ArchsPlus: []string{"i386"}, ArchsMinus: []string{"amd64"}, CheckValidUntil: &no},
		}},
		"stanzas": {"a.sources", "# c\nTypes: deb deb-src\nURIs: http://a.test http://b.test/\nSuites: s s-updates\nComponents: main\n" +
			"Signed-By: /k.gpg 0123456789abcdef0123456789abcdef01234567!\n\nEnabled: no\nTypes: deb\nURIs: x:/\n\nTypes: deb-src\nURIs: http://a.test\nSuites: s\n", []Source{
			{File: "a.sources", Line: 2, URI: "http://a.test", Suite: "s", Components: []string{"main"}, SignedBy: []string{"/k.gpg", "0123456789ABCDEF0123456789ABCDEF01234567!"}},
			{File: "a.sources", Line: 2, URI: "http://a.test", Suite: "s-updates", Components: []string{"main"}, SignedBy: []string{"/k.gpg", "0123456789ABCDEF0123456789ABCDEF01234567!"}},
			{File: "a.sources", Line: 2, URI: "http://b.test", Suite: "s", Components: []string{"main"}, SignedBy: []string{"/k.gpg", "0123456789ABCDEF0123456789ABCDEF01234567!"}},
			{File: "a.sources", Line: 2, URI: "http://b.test", Suite: "s-updates", Components: []string{"main"}, SignedBy: []string{"/k.gpg", "0123456789ABCDEF0123456789ABCDEF01234567!"}},
		}},
		"key inside": {"a.sources", "Types: deb\nURIs: file:/srv\nSuites: s\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n", []Source{
			{File: "a.sources", Line: 1, URI: "file:/srv", Suite: "s", Components: []string{"main"},
				Key: "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n"},
		}},
	} {
		got, err := Parse(c.file, []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
	}
}

func TestRefuse(t *testing.T) {
	for text, want := range map[string]string{
		"rpm http://m.test s main":                      `a.list:1: unknown type "rpm"`,
		"\ndeb http://m.test s":                         `a.list:2: suite "s" needs components`,
		"deb http://m.test":                             "no suite",
		"deb m.test/debian s main":                      "has no scheme",
		"deb http://m.test/?a s main":                   "query",
		"deb http://m.test/%zz s main":                  "invalid URI",
		"deb mailto:x s main":                           "has no path",
		"deb http://m.test ../.. main":                  "invalid name",
		"deb http://m.test s/../../.. main":             "invalid name",
		"deb http://m.test s ../x":                      "invalid name",
		"deb http://m.test s/ main":                     "has no components",
		"deb http://m.test s//t main":                   "invalid name",
		"deb http://m.test \x1b[2J main":                "invalid name",
		"deb [arch=amd64 http://m.test s main":          "no ]",
		"deb [arch] http://m.test s main":               "has no value",
		"deb [arch=../x] http://m.test s main":          "invalid architecture",
		"deb [arch=$(ls)] http://m.test s main":         "invalid architecture",
		"deb [trusted=maybe] http://m.test s main":      "neither yes nor no",
		"deb [signed-by=k.gpg] http://m.test s main":    "neither an absolute path nor a fingerprint",
		"deb [signed-by=ABCD1234] http://m.test s main": "neither an absolute path nor a fingerprint",
		"deb [hovercraft=eels] http://m.test s main":    "unknown option",
	} {
		_, err := Parse("a.list", []byte(text))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"Types: deb\nSuites: s\n":                                      "a.sources:1: Types, URIs and Suites must be there",
		"Types: deb\nURIs: http://m.test\nSuites: s\n":                 "needs components",
		"Types: deb\nTypes: deb\n":                                     "a.sources:2: field Types is there twice",
		"Types: rpm\nURIs: http://m.test\nSuites: s\nComponents: m\n":  `unknown type "rpm"`,
		"Types: deb\nURIs: http://m.test\nSuites: s\nTrusted: perhaps": "Trusted: ",
		"Enabled: perhaps\n":                                           "Enabled: ",
	} {
		if _, err := Parse("a.sources", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestFor(t *testing.T) {
	def := []string{"amd64"}
	for _, c := range []struct {
		s    Source
		arch string
		want bool
	}{
		{Source{}, "amd64", true},
		{Source{}, "armhf", false},
		{Source{Archs: []string{"armhf"}}, "armhf", true},
		{Source{Archs: []string{"armhf"}}, "amd64", false},
		{Source{ArchsPlus: []string{"armhf"}}, "armhf", true},
		{Source{ArchsMinus: []string{"amd64"}}, "amd64", false},
	} {
		if got := c.s.For(c.arch, def); got != c.want {
			t.Errorf("%+v for %s: %v", c.s, c.arch, got)
		}
	}
}

func TestPasswordHidden(t *testing.T) {
	all, err := Parse("a.list", []byte("deb https://user:secret@m.test s main"))
	if err != nil || strings.Contains(all[0].String()+all[0].Repository(), "secret") {
		t.Errorf("%v, %v", all, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("deb [arch=amd64] http://m.test s main\n", false)
	f.Add("Types: deb\nURIs: http://m.test\nSuites: s\nComponents: main\n", true)
	f.Fuzz(func(t *testing.T, text string, stanzas bool) {
		name := "a.list"
		if stanzas {
			name = "a.sources"
		}
		all, err := Parse(name, []byte(text))
		if err != nil {
			return
		}
		for _, s := range all {
			for _, p := range append([]string{s.Suite}, s.Components...) {
				for part := range strings.SplitSeq(p, "/") {
					if part == ".." {
						t.Fatalf("%q leaves the repository", p)
					}
				}
			}
		}
	})
}

func TestParseConf(t *testing.T) {
	got, err := ParseConf("x", []byte("// c\n# c\nAcquire::Check-Valid-Until \"false\";\nAcquire { Retries \"3\"; http { Proxy \"http://p.test:1/\"; }; /* x\n */ Check-Date no; };\n"+
		"DPkg::Post-Invoke:: \"rm -f {a;b}\";\nAPT::Archs { \"a\"; \"b\"; };\n#clear x;\n"))
	want := map[string]string{"acquire::check-valid-until": "false", "acquire::retries": "3", "acquire::http::proxy": "http://p.test:1/", "acquire::check-date": "no"}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	for _, bad := range []string{"/* x", "a \"b", "}", strings.Repeat("a {", 200)} {
		if _, err := ParseConf("x", []byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzParseConf(f *testing.F) {
	f.Add("Acquire { Retries \"3\"; };")
	f.Fuzz(func(t *testing.T, text string) { _, _ = ParseConf("x", []byte(text)) })
}
