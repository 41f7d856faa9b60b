package index

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const good = "Package: xx\nVersion: 1:2.0~rc1-1+b1\nArchitecture: amd64\nFilename: pool/main/x/xx_2.0.deb\nSize: 12\nSHA256: " + sum + "\n"

func TestFind(t *testing.T) {
	second := strings.Replace(good, "1:2.0~rc1-1+b1", "3", 1) + "Source: src (2.9)\nMulti-Arch: same\nEssential: yes\nInstalled-Size: 7\nDepends: a,\n b\n"
	x, err := Parse("\n" + good + "\n\n" + strings.Replace(good, "xx", "yy", 1) + "\n" + second)
	if err != nil {
		t.Fatal(err)
	}
	one := Package{Name: "xx", Version: "1:2.0~rc1-1+b1", Arch: "amd64", Source: "xx", SourceVersion: "1:2.0~rc1-1+b1",
		Filename: "pool/main/x/xx_2.0.deb", Size: 12, SHA256: sum}
	two := one
	two.Version, two.Source, two.SourceVersion, two.MultiArch, two.Essential, two.InstalledSize, two.Depends = "3", "src", "2.9", "same", true, 7, "a,\nb"
	got, err := x.Find("xx")
	if d := cmp.Diff([]Package{one, two}, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if got, err := x.Find("zz"); got != nil || err != nil {
		t.Errorf("zz: %v, %v", got, err)
	}
	var names []string
	for p, err := range x.All() {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, p.Name+" "+p.Version)
	}
	if d := cmp.Diff([]string{"xx 1:2.0~rc1-1+b1", "yy 1:2.0~rc1-1+b1", "xx 3"}, names); d != "" || x.Len() != 3 {
		t.Error(d)
	}
}

// What a hostile index says of a package (THREATS B26, B32, B33, B34).
func TestRefuse(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"Package: xx", "Package: ../../etc/cron.d/x", "invalid package name"},
		{"Package: xx", "Package: -rf", "invalid package name"},
		{"Package: xx", "Package: " + strings.Repeat("x", 129), "invalid package name"},
		{"Package: xx\n", "", "no field Package"},
		{"Version: 1:2.0~rc1-1+b1", "Version: 1; touch /tmp/x", "invalid version"},
		{"Version: 1:2.0~rc1-1+b1", "Version: ../1", "invalid version"},
		{"Version: 1:2.0~rc1-1+b1\n", "", "invalid version"},
		{"Architecture: amd64", "Architecture: ../x", "invalid architecture"},
		{"pool/main/x/xx_2.0.deb", "../../../etc/x", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", "pool/../../x", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", "/etc/passwd", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", "file:///etc/passwd", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", "http://evil.test/x", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", "//evil.test/x", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", "%2e%2e/x", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", "a/%252e%252e/x", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", "a/%2e%2E%2f..%2Fx", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", "a/x%00y", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", "a/x?y", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", "a/x\n y", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", "a\\..\\x", "leaves the repository"},
		{"pool/main/x/xx_2.0.deb", strings.Repeat("x", 4096), "leaves the repository"},
		{"Filename: pool/main/x/xx_2.0.deb\n", "", "leaves the repository"},
		{"Size: 12", "Size: -1", "Size: "},
		{"Size: 12", "Size: 99999999999999999999", "too large"},
		{"Size: 12", "Size: 0x10", "no number"},
		{"Size: 12\n", "", "no number"},
		{"SHA256: " + sum, "SHA256: " + strings.ToUpper(sum), "invalid SHA256"},
		{"SHA256: " + sum, "SHA256: " + sum[1:], "invalid SHA256"},
		{"SHA256: " + sum, "SHA256: " + sum + "0", "invalid SHA256"},
		{"SHA256: " + sum, "SHA256: " + sum[1:] + "g", "invalid SHA256"},
		{"SHA256: " + sum, "SHA256:", "no SHA256"},
		{"SHA256: " + sum, "MD5sum: 0123456789abcdef0123456789abcdef", "no SHA256"},
		{"SHA256: " + sum, "SHA256: " + sum + "\nSHA256: " + sum, "twice"},
		{"Size: 12", "Size: 12\rSHA256: x", "control character"},
		{"Size: 12", "Size: 12\nSource: ../x", "Source: "},
		{"Size: 12", "Size: 12\nSource: aa (1", "invalid Source"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		x, err := Parse("Package: ok-then\n\n" + text)
		if err == nil {
			_, err = x.Find("xx")
		}
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || e.Line != 3 {
			t.Errorf("%q: %v, want %s in line 3", c.new, err, c.want)
		}
	}
	for _, ok := range []string{"./xx_2.0.deb", "xx.deb", "pool/x/x_1%3a2.deb", "a/b:c/d~e+f", "xx..deb", "...a/x"} {
		if err := checkFilename(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good + "\n" + good)
	f.Add("\n\nPackage:xx\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		x, err := Parse(text)
		if err != nil {
			return
		}
		n := 0
		for p, err := range x.All() {
			if err != nil {
				return
			}
			n++
			if found, err := x.Find(p.Name); err == nil && len(found) == 0 {
				t.Fatalf("%q isn't found", p.Name)
			}
			if strings.HasPrefix(p.Filename, "/") || strings.Contains(p.Filename, "..//") || len(p.SHA256) != 64 {
				t.Fatalf("%+v", p)
			}
		}
		if n != x.Len() {
			t.Fatalf("%d of %d", n, x.Len())
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text := strings.Repeat(good+"Description: "+strings.Repeat("x", 500)+"\n\n", 60000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
