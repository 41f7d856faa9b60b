package release

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const text = `Origin: Test
Suite: stable
Codename: test
Date: Sat, 11 Jul 2026 10:16:37 UTC
Valid-Until: Sat, 18 Jul 2026 10:16:37 +0000
Acquire-By-Hash: yes
Architectures: all amd64 armhf
Components: main contrib
MD5Sum:
 0123456789abcdef0123456789abcdef 5 main/binary-amd64/Packages
SHA256:
 ` + sum + ` 5 main/binary-amd64/Packages
 ` + sum + `    12345 ./main/binary-amd64/Packages.xz
`

func TestParse(t *testing.T) {
	r, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	made := time.Date(2026, 7, 11, 10, 16, 37, 0, time.UTC)
	want := Release{Origin: "Test", Suite: "stable", Codename: "test", Date: made, ValidUntil: made.AddDate(0, 0, 7), ByHash: true, AllSeparate: true,
		Architectures: []string{"all", "amd64", "armhf"}, Components: []string{"main", "contrib"},
		files: map[string]File{
			"main/binary-amd64/Packages":    {"main/binary-amd64/Packages", 5, sum},
			"main/binary-amd64/Packages.xz": {"main/binary-amd64/Packages.xz", 12345, sum},
		}}
	if d := cmp.Diff(want, *r, cmp.AllowUnexported(Release{})); d != "" {
		t.Error(d)
	}
	if _, ok := r.File("main/binary-armhf/Packages"); ok {
		t.Error("found a file that isn't listed")
	}
	if r, err = Parse([]byte(strings.Replace(text, "Components:", "No-Support-for-Architecture-all: Packages\nComponents:", 1))); err != nil || r.AllSeparate {
		t.Errorf("%v, %v", r, err)
	}
}

func TestParseRefuses(t *testing.T) {
	entry := " " + sum + " 5 main/binary-amd64/Packages\n"
	for _, c := range []struct{ old, new, want string }{
		{"SHA256:\n", "SHA1:\n", "no field SHA256"},
		{entry, " " + strings.ToUpper(sum) + " 5 x\n", "invalid sum"},
		{entry, " " + sum[1:] + " 5 x\n", "invalid sum"},
		{entry, " " + sum + " -5 x\n", "invalid size"},
		{entry, " " + sum + " 0x5 x\n", "invalid size"},
		{entry, " " + sum + " 99999999999999999999 x\n", "invalid size"},
		{entry, " " + sum + " 5\n", "is not a sum"},
		{entry, " " + sum + " 5 a b\n", "is not a sum"},
		{entry, " " + sum + " 5 ../x\n", "invalid path"},
		{entry, " " + sum + " 5 ./../x\n", "invalid path"},
		{entry, " " + sum + " 5 .\n", "invalid path"},
		{entry, " " + sum + " 5 ..\n", "invalid path"},
		{entry, " " + sum + " 5 /etc/x\n", "invalid path"},
		{entry, " " + sum + " 5 a/../../x\n", "invalid path"},
		{entry, entry + " " + sum + " 6 main/binary-amd64/Packages\n", "two sums"},
		{"Date: Sat, 11 Jul 2026 10:16:37 UTC\n", "", "Date: "},
		{"10:16:37 UTC", "10:16:37 CEST", "Date: "},
		{"10:16:37 +0000", "soon", "Valid-Until: "},
		{"Origin: Test\n", "Origin: Test\n\nOrigin: Test\n", "blank line"},
		{"Origin: Test\n", "Origin: Test\nDate: x\n", "twice"},
		{"Origin: Test\n", "Origin: Te\x1bst\n", "control character"},
		{text, "<html>\n<body>log in</body>", "no colon"},
		{text, "", "Date"},
	} {
		if _, err := Parse([]byte(strings.Replace(text, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.new, err, c.want)
		}
	}
}

func TestDates(t *testing.T) {
	r, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for now, want := range map[string]string{"2026-07-10": "in the future", "2026-07-12": "", "2026-08-01": "expired on"} {
		at, _ := time.Parse(time.DateOnly, now)
		err := errors.Join(r.CheckDate(at), r.CheckExpiry(at))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", now, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse([]byte(text))
		if err != nil {
			return
		}
		for name, file := range r.files {
			if name != file.Path || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "..") && (len(name) == 2 || name[2] == '/') {
				t.Fatalf("%q: %+v", name, file)
			}
		}
	})
}
