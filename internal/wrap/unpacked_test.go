package wrap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/debian/status"
	"github.com/crossroot/crossroot/internal/twin/state"
)

// rootWith makes a root with files, of which those that end with a slash are directories.
func rootWith(t *testing.T, names ...string) *os.File {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		full := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		if err == nil && strings.HasSuffix(name, "/") {
			err = os.MkdirAll(full, 0o755)
		} else if err == nil {
			err = os.WriteFile(full, nil, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestUnpacked(t *testing.T) {
	root := rootWith(t, archives+"/partial/", archives+"/lock",
		archives+"/a_1%3a2-3_armhf.deb", archives+"/b_1_armhf.deb", archives+"/c_1_all.deb", archives+"/d_1_arm64.deb",
		"usr/share/doc/a/", "usr/share/doc/c/", "usr/share/doc/d/", "usr/share/doc/e/", "var/lib/dpkg/status")
	found := unpacked(root, "armhf")
	if diff := cmp.Diff(map[string]string{"a": "1:2-3"}, found); diff != "" {
		t.Error(diff)
	}
	if found := unpacked(rootWith(t), "armhf"); len(found) != 0 {
		t.Error(found)
	}
	s, all, err := with(state.State{}, found, "armhf")
	if err != nil || all {
		t.Fatal(all, err)
	}
	packages, err := s.Packages("armhf")
	if err != nil || len(packages) != 1 || packages[0].Name != "a" || packages[0].Version != "1:2-3" || !packages[0].HasFiles() {
		t.Errorf("%+v %v", packages, err)
	}
	if again, all, err := with(s, found, "armhf"); err != nil || !all || string(again.Status) != string(s.Status) {
		t.Errorf("%q %v %v", again.Status, all, err)
	}
}

// Whatever a name of an archive makes it into a database, the database can be read.
func FuzzParseArchive(f *testing.F) {
	for _, s := range []string{"a_1%3a2-3_armhf.deb", "_1_armhf.deb", "a__armhf.deb", "../x_1_armhf.deb", "a_1\n_armhf.deb", "a_1_1_armhf.deb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		name, version, ok := parseArchive(file, "armhf")
		if !ok {
			return
		}
		if strings.ContainsAny(name+version, "/\n") || !status.ValidName(name) {
			t.Errorf("%q: %q %q", file, name, version)
		}
		s, _, err := with(state.State{}, map[string]string{name: version}, "armhf")
		if err != nil {
			t.Fatal(err)
		}
		if packages, err := s.Packages("armhf"); err == nil && (len(packages) != 1 || packages[0].Name != name) {
			t.Errorf("%q: %+v", file, packages)
		}
	})
}
