package status

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

const good = `Package: dash
Essential: yes
Status: install ok installed
Priority: required
Architecture: armhf
Version: 0.5.12-2
Depends: debianutils (>= 5.6-0.1)
Description: POSIX-compliant shell
 Package: evil
 .
 Status: install ok installed

Package: libgcc-s1
Status: install ok half-configured
Multi-Arch: same
Source: gcc-12 (12.2.0-14)
ARCHITECTURE: armhf
version: 12.2.0-14+b1

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
Conffiles:
 /etc/gone 0123


Package: never
Status: unknown ok not-installed
`

func TestParse(t *testing.T) {
	got, err := Parse([]byte(good))
	want := []Package{
		{"dash", "0.5.12-2", "armhf", "install", "ok", "installed", "", "dash", "0.5.12-2", true},
		{"libgcc-s1", "12.2.0-14+b1", "armhf", "install", "ok", "half-configured", "same", "gcc-12", "12.2.0-14", false},
		{"gone", "1", "all", "deinstall", "ok", "config-files", "", "gone", "1", false},
		{"never", "", "", "unknown", "ok", "not-installed", "", "never", "", false},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for i, files := range []bool{true, true, false, false} {
		if got[i].HasFiles() != files {
			t.Errorf("%s: HasFiles is %v", got[i].Name, !files)
		}
		if p, ok := Lookup([]byte(good), got[i].Name); !ok || p != got[i] {
			t.Errorf("Lookup %s: %+v %v", got[i].Name, p, ok)
		}
	}
	for _, name := range []string{"evil", "das", "ash", "", "dash\nEssential: yes", "\n"} {
		if p, ok := Lookup([]byte(good), name); ok {
			t.Errorf("Lookup %q: %+v", name, p)
		}
	}
}

func TestLookupPrefersFiles(t *testing.T) {
	text := []byte("Package: x\nStatus: deinstall ok config-files\nVersion: 1\n\nX: \nPackage: x\n\n" +
		"Section: a\nPackage: x\nStatus: install ok installed\nVersion: 2\n\nPackage: x\nStatus: install ok installed\nVersion: 3\n")
	if p, ok := Lookup(text, "x"); !ok || p.Version != "2" {
		t.Errorf("got %+v %v", p, ok)
	}
}

func TestUpdates(t *testing.T) {
	got := Updates([]string{"0010", "tmp.i", "0002", "", "..", "1a", "00001"})
	if want := []string{"0002", "0010", "00001"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if p, err := Parse([]byte("Package: a\nStatus: install ok installed\nVersion: v1_2\n")); err != nil || len(p) != 1 || p[0].Version != "v1_2" {
		t.Errorf("a version that dpkg warns of: %+v %v", p, err) // and yet it is installed
	}
	merged := Merge([]Package{{Name: "a", Version: "1"}, {Name: "b", Version: "1"}},
		[]Package{{Name: "b", Version: "2"}, {Name: "c", Version: "1"}}, []Package{{Name: "b", Version: "3"}, {Name: "b", Architecture: "i386"}})
	var names []string
	for _, p := range merged {
		names = append(names, p.Name+p.Architecture+p.Version)
	}
	if strings.Join(names, " ") != "a1 b3 c1 bi386" {
		t.Errorf("merged: %v", names)
	}
}

func TestRefused(t *testing.T) {
	const ok = "Status: install ok installed\nVersion: 1\n"
	for name, text := range map[string]string{
		"no name":           ok,
		"traversal":         "Package: ../../../etc/cron.d/x\n" + ok,
		"option":            "Package: -rf\n" + ok,
		"blank":             "Package: a b\n" + ok,
		"long":              "Package: " + strings.Repeat("a", 300) + "\n" + ok,
		"no colon":          "Package: a\n" + ok + "what\n",
		"no field name":     "Package: a\n" + ok + ": x\n",
		"blank in field":    "Package: a\n" + ok + "a b: x\n",
		"comment":           "#x: y\nPackage: a\n" + ok,
		"signature":         "-----BEGIN: x\nPackage: a\n" + ok,
		"field twice":       "Package: a\n" + ok + "version: 2\n",
		"NUL":               "Package: a\n" + ok + "X: a\x00b\n",
		"control character": "Package: a\n" + ok + "X\x0b: b\n",
		"continuation":      " Package: a\n" + ok,
		"version":           "Package: a\nStatus: install ok installed\nVersion: 1/2\n",
		"no version":        "Package: a\nStatus: install ok installed\n",
		"status":            "Package: a\nStatus: install ok\nVersion: 1\n",
		"status word":       "Package: a\nStatus: install ok done\nVersion: 1\n",
		"architecture":      "Package: a\n" + ok + "Architecture: ../x\n",
		"source":            "Package: a\n" + ok + "Source: a/b\n",
		"source version":    "Package: a\n" + ok + "Source: a (x y)\n",
		"huge stanza":       "Package: a\n" + ok + "X: " + strings.Repeat("x", maxStanza) + "\n",
		"many fields":       "Package: a\n" + ok + manyFields(maxFields),
	} {
		began := time.Now()
		_, err := Parse([]byte(text))
		if !errors.Is(err, ErrSyntax) || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
	}
	if _, err := Parse([]byte("Package: a\n" + ok + "\nPackage: b\n" + ok + "bad\n")); err == nil || !strings.Contains(err.Error(), "line 8:") {
		t.Errorf("line of the error: %v", err)
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X%d: y\n", i)
	}
	return b.String()
}

// The second opinion is dpkg-query's.
func TestLikeDpkgQuery(t *testing.T) {
	const format = "${Package}|${Version}|${Architecture}|${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status}|${source:Package}|${source:Version}\n"
	out, err := exec.Command("dpkg-query", "-W", "-f", format).Output()
	if err != nil {
		t.Skipf("dpkg-query has no database on this machine: %v", err)
	}
	text, err := os.ReadFile("/var/lib/dpkg/status")
	if err != nil {
		t.Fatal(err)
	}
	packages, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range packages {
		got = append(got, fmt.Sprintf("%s|%s|%s|%s %s %s|%s|%s", p.Name, p.Version, p.Architecture, p.Want, p.Flag, p.State, p.Source, p.SourceVersion))
		if found, ok := Lookup(text, p.Name); !ok || found.Name != p.Name {
			t.Errorf("Lookup %s: %+v %v", p.Name, found, ok)
		}
	}
	want := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("%d packages, dpkg-query has %d; the first that differs is %q", len(got), len(want), want[i])
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("Package: a\nStatus: install ok installed\nVersion: 1\n\n\n\nPackage: b\n x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		packages, err := Parse(text)
		if err != nil && !errors.Is(err, ErrSyntax) {
			t.Fatal(err)
		}
		for _, p := range packages {
			if !ValidName(p.Name) || strings.ContainsAny(p.Version+p.Architecture, "/\n \x00") {
				t.Fatalf("%+v", p)
			}
			if !bytes.Contains(text, []byte("Package: "+p.Name+"\n")) {
				continue // another spelling of the field
			}
			if found, ok := Lookup(text, p.Name); !ok || found.Name != p.Name {
				t.Fatalf("Lookup %s: %+v %v", p.Name, found, ok)
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	text := large()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Lookup(text, "package999"); !ok {
			b.Fatal("lost")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text := large()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

// large is a database of 1000 packages, 1 MB.
func large() []byte {
	var b bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&b, "Package: package%d\nStatus: install ok installed\nMaintainer: %s\nArchitecture: armhf\nVersion: 1.%d-1\nDescription: x\n%s\n",
			i, strings.Repeat("m", 40), i, strings.Repeat(" Package: words of a description that go on\n", 20))
	}
	return b.Bytes()
}
