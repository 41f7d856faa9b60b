package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossroot/crossroot/internal/debian/status"
)

func root(t *testing.T, files map[string]string) *os.File {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func stanza(name, version string) string {
	return "Package: " + name + "\nStatus: install ok unpacked\nArchitecture: armhf\nVersion: " + version + "\n\n"
}

func TestRead(t *testing.T) {
	r := root(t, map[string]string{
		dir + "status": stanza("a", "1") + stanza("b", "1"), dir + "updates/0001": stanza("b", "2"), dir + "updates/0002": stanza("c", "1"),
		dir + "updates/tmp.i": "garbage", dir + "diversions": "/x\n/y\n:\n", "usr/bin/x": "",
	})
	if err := os.Symlink("usr/bin", r.Name()+"/bin"); err != nil {
		t.Fatal(err)
	}
	s, err := Read(r, LargestWhileRun)
	if err != nil {
		t.Fatal(err)
	}
	packages, err := s.Packages("armhf")
	if err != nil || len(packages) != 3 || packages[1].Version != "2" || len(s.Merged) != 1 || s.Merged[0] != "bin" || string(s.Diversions) != "/x\n/y\n:\n" {
		t.Errorf("%+v %+v %v", packages, s.Merged, err)
	}
	before, err := s.Sum("armhf")
	if err != nil {
		t.Fatal(err)
	}
	s.Updates = append(s.Updates, []byte(strings.Replace(stanza("a", "1"), "unpacked", "installed", 1)))
	if after, err := s.Sum("armhf"); err != nil || after != before {
		t.Errorf("a package that was configured changes the sum: %v", err)
	}
	s.Updates = append(s.Updates, []byte(stanza("a", "3")))
	if after, err := s.Sum("armhf"); err != nil || after == before {
		t.Errorf("an upgrade doesn't change the sum: %v", err)
	}
}

func TestHostile(t *testing.T) {
	if _, err := Read(root(t, nil), Largest); !errors.Is(err, ErrNone) {
		t.Errorf("no database: %v", err)
	}
	many := map[string]string{dir + "status": stanza("a", "1"), dir + "updates/0001": strings.Repeat("x", 600), dir + "updates/0002": strings.Repeat("x", 600)}
	if _, err := Read(root(t, many), 1000); err == nil {
		t.Error("more than the limit, in several files")
	}
	fifo := root(t, map[string]string{dir + "x": ""})
	if err := os.Symlink("/dev/zero", fifo.Name()+"/"+dir+"status"); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(fifo, 1000); err == nil {
		t.Error("a link out of the root")
	}
	s := State{Status: []byte(stanza("../a", "1"))}
	if _, err := s.Sum("armhf"); !errors.Is(err, status.ErrSyntax) {
		t.Errorf("a name with a slash: %v", err)
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte(stanza("a", "1")), []byte(stanza("a", "2")), []byte("/x\n/y\n:\n"))
	f.Fuzz(func(t *testing.T, text, update, diversions []byte) {
		s := State{Status: text, Updates: [][]byte{update}, Diversions: diversions}
		packages, err := s.Packages("armhf")
		for _, p := range packages {
			if err == nil && !status.ValidName(p.Name) {
				t.Fatalf("package %q", p.Name)
			}
		}
	})
}
