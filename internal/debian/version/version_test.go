package version

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

// Each is older than the next.
var ascending = []string{
	"0~", "0", "0.0~~", "0.0~", "0.0", "0.0a", "0.0+", "0.0.0", "0.1", "1~~a", "1~rc1", "1~rc1+b1", "1~rc2", "1.0~bpo", "1.0",
	"1.0-0.1", "1.0-1~deb12u1", "1.0-1", "1.0-1+b1", "1.0-1+deb12u1", "1.0-1.1", "1.0-2", "1.0-10", "1.0a-1", "1.0+dfsg-1",
	"1.0.1-1", "1.2.3", "1.10", "2.36-9+deb12u4", "2.36-9+deb12u14", "2.37-1", "1:0", "1:0.1", "2:0", "10:0", "2147483647:1",
}

func TestOrder(t *testing.T) {
	for i, a := range ascending {
		for j, b := range ascending {
			if got, want := sign(Compare(a, b)), sign(i-j); got != want {
				t.Errorf("Compare(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestEqual(t *testing.T) {
	for _, pair := range [][2]string{{"1", "0:1"}, {"1.0", "1.0-0"}, {"1.01", "1.1"}, {"0", "00"}, {"1-0", "1-000"}, {"", "0"}} {
		if Compare(pair[0], pair[1]) != 0 || Compare(pair[1], pair[0]) != 0 {
			t.Errorf("%q and %q differ", pair[0], pair[1])
		}
	}
}

func TestParse(t *testing.T) {
	for s, want := range map[string]Version{
		"1":                   {0, "1", ""},
		" 1.2-3 ":             {0, "1.2", "3"},
		"2:1.2-rc1-3":         {2, "1.2-rc1", "3"},
		"1:2:3-4":             {1, "2:3", "4"},
		"0:1":                 {0, "1", ""},
		"1.2+dfsg~1-1~deb1+2": {0, "1.2+dfsg~1", "1~deb1+2"},
	} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", " ", ":1", "a:1", "-1:1", "+1:1", "1:", "1-", "-1", "2147483648:1", "99999999999999999999:1", "1 2", "1_2", "1-2_3",
		"a1", "~1", "1\x00", "1\n2", "1/2", "1-2:3 4", "é1", "1.é",
	} {
		if v, err := Parse(s); !errors.Is(err, ErrVersion) {
			t.Errorf("Parse(%q) = %+v, %v", s, v, err)
		}
	}
}

func TestTolerable(t *testing.T) {
	for s, want := range map[string]bool{"1:1.0-1": true, "v1_2": true, "": false, "1 2": false, "../1": false, "1\n": false, "é": false} {
		if got := Tolerable(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestUpstream(t *testing.T) {
	for s, want := range map[string]string{"1:2.36-9+deb12u4": "2.36", "12": "12", "1-2-3": "1-2", "": ""} {
		if got := Upstream(s); got != want {
			t.Errorf("Upstream(%q) = %q", s, got)
		}
	}
}

// The second opinion is dpkg's.
func TestLikeDpkg(t *testing.T) {
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Skip("there is no dpkg on this machine to compare with")
	}
	r := rand.New(rand.NewPCG(1, 2))
	random := func() string {
		const letters = "000112299aazZ..++~~--:"
		b := []byte{'0' + byte(r.IntN(10))}
		for range r.IntN(8) {
			b = append(b, letters[r.IntN(len(letters))])
		}
		return string(b)
	}
	tried := 0
	for tried < 300 {
		a, b := random(), random()
		if r.IntN(3) == 0 && len(a) > 2 {
			i := r.IntN(len(a) - 1)
			b = a[:i] + a[i+1:]
		}
		_, errA := Parse(a)
		_, errB := Parse(b)
		if errA != nil || errB != nil {
			continue
		}
		tried++
		op := map[int]string{-1: "lt", 0: "eq", 1: "gt"}[sign(Compare(a, b))]
		if out, err := exec.Command(dpkg, "--compare-versions", a, op, b).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("dpkg denies %q %s %q: %v %s", a, op, b, err, out)
		}
	}
	// What one refuses the other refuses or warns of.
	for range 100 {
		s := random()
		if r.IntN(2) == 0 {
			s = strings.Replace(s, s[:1], []string{"", "x", "_", ":"}[r.IntN(4)], 1)
		}
		_, err := Parse(s)
		out, failed := exec.Command(dpkg, "--validate-version", s).CombinedOutput()
		if (err != nil) != (failed != nil || len(out) > 0) {
			t.Errorf("Parse(%q): %v; dpkg: %v %s", s, err, failed, out)
		}
	}
}

func sign(n int) int { return max(-1, min(1, n)) }

func FuzzCompare(f *testing.F) {
	for i := range ascending[1:] {
		f.Add(ascending[i], ascending[i+1], "1")
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ab, ba := sign(Compare(a, b)), sign(Compare(b, a))
		if ab != -ba || Compare(a, a) != 0 {
			t.Fatalf("%q against %q: %d and %d", a, b, ab, ba)
		}
		if ab <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Fatalf("%q <= %q <= %q, but not the first the last", a, b, c)
		}
		if v, err := Parse(a); err == nil {
			if again, err := Parse(v.String()); err != nil || again != v || Compare(strings.TrimSpace(a), v.String()) != 0 {
				t.Fatalf("%q became %q: %v", a, v, err)
			}
		}
	})
}

func BenchmarkCompare(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Compare("1:2.36-9+deb12u4", "1:2.36-9+deb12u14")
	}
}
