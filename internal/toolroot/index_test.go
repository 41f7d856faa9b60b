package toolroot

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/kernel/rootfs"
	"github.com/crossroot/crossroot/internal/relocate"
)

func TestLookup(t *testing.T) {
	onAMD64(t)
	files := debian()
	files["usr/bin/glib-compile-schemas"] = "-> ../lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas"
	files["usr/lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas"] = program(glibc64)
	root, o := files.make(t), options(t, "armhf")
	r := mustOpen(t, root, o)
	for name, want := range map[string]string{
		"/usr/bin/dash": "/.cr/bin/dash", "/bin/dash": "/.cr/bin/dash", "/bin/sh": "/.cr/bin/dash", "/usr/bin/sh": "/.cr/bin/dash",
		"/usr/bin/awk": "/.cr/bin/mawk", "/usr/bin/mawk": "/.cr/bin/mawk", "/sbin/useradd": "/.cr/sbin/useradd",
		"/usr/bin/useradd": "/.cr/sbin/useradd", "/bin/dpkg": "/.cr/bin/dpkg",
		"/usr/lib/arm-linux-gnueabihf/glib-2.0/glib-compile-schemas": "/.cr/lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas",
		"/lib/arm-linux-gnueabihf/glib-2.0/glib-compile-schemas":     "/.cr/lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas",
		"/usr/bin/glib-compile-schemas":                              "/.cr/lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas",
		"/usr/bin/which":                                             "", "/usr/local/bin/dash": "", "dash": "", "": "", "/usr/bin/": "", "/usr/lib/x86_64-linux-gnu/libc.so.6": "",
	} {
		tool, ok := r.Lookup(name)
		if tool.Path != want && ok || ok != (want != "") {
			t.Errorf("Lookup(%q) = %q, %v, not %q", name, tool.Path, ok, want)
		}
		if (r.Missing(name) == "") != ok {
			t.Errorf("Missing(%q) = %q", name, r.Missing(name))
		}
	}
	list, err := r.Files()
	if err != nil {
		t.Fatal(err)
	}
	dash, _ := r.Lookup("/bin/sh")
	if want := []relocate.Change{{Offset: 344, Old: glibc64, New: relocate.LoaderPath}}; !cmp.Equal(dash.Rewrites, want) {
		t.Errorf("rewrites of dash: %v", dash.Rewrites)
	}
	if !slices.ContainsFunc(list, func(f File) bool { return f.Path == "lib/x86_64-linux-gnu/libz.so.1" }) {
		t.Errorf("files: %v", list)
	}
}

func TestOwners(t *testing.T) {
	tests := []struct {
		name  string
		files tree
		want  map[string]owner
	}{
		{"dpkg", tree{
			"var/lib/dpkg/status": "Package: dash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 0.5.12-2\nDescription: x\n Version: 9\n\n" +
				"Package: libz\nArchitecture: amd64\nMulti-Arch: same\nVersion: 1:1.2.13\n\nPackage: libz\nArchitecture: i386\nVersion: 0\n\n" +
				"Package: own\nVersion: 7\n",
			"var/lib/dpkg/diversions":           "/bin/sed\n/bin/sed.orig\nown\n",
			"var/lib/dpkg/info/dash.list":       "/.\n/bin\n/bin/dash\n/bin/sed\n",
			"var/lib/dpkg/info/own.list":        "/bin/sed\n",
			"var/lib/dpkg/info/libz:amd64.list": "/usr/lib/x86_64-linux-gnu/libz.so.1.2.13\n",
		}, map[string]owner{
			"/usr/bin/dash": {"dash", "0.5.12-2"}, "/usr/bin/sed": {"own", "7"}, "/usr/bin/sed.orig": {"dash", "0.5.12-2"},
			"/usr/lib/x86_64-linux-gnu/libz.so.1.2.13": {"libz", "1:1.2.13"},
		}},
		{"apk", tree{"lib/apk/db/installed": "C:Q1\nP:busybox\nV:1.36.1-r2\nF:bin\nR:busybox\nF:usr/bin\nR:dash\n\nP:other\nV:1\n"},
			map[string]owner{"/usr/bin/dash": {"busybox", "1.36.1-r2"}}},
		{"none", tree{}, map[string]owner{}},
		{"damaged", tree{"var/lib/dpkg/status": "dir", "var/lib/dpkg/info/dash.list": "/bin/dash\n", "var/lib/dpkg/diversions": "x\n"},
			map[string]owner{"/usr/bin/dash": {"dash", ""}}},
	}
	wanted := map[string]bool{"/usr/bin/dash": true, "/usr/bin/sed": true, "/usr/bin/sed.orig": true, "/usr/lib/x86_64-linux-gnu/libz.so.1.2.13": true}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, err := rootfs.Open(tt.files.make(t))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = src.Close() }()
			got := owners(src, wanted)
			if len(got) != len(tt.want) {
				t.Errorf("got %v", got)
			}
			for f, o := range tt.want {
				if got[f] != o {
					t.Errorf("%s: %v, not %v", f, got[f], o)
				}
			}
		})
	}
}

func TestApplets(t *testing.T) {
	table := "x\x00[\x00no\x00\x00text\x00[\x00[[\x00ash\x00cat\x00run-parts\x00zcat\x00\x00Usage: %s\x00"
	for _, tt := range []struct {
		name, content string
		want          []string
	}{
		{"/bin/busybox", table, []string{"[", "[[", "ash", "cat", "run-parts", "zcat"}},
		{"/bin/busybox.nosuid", table, []string{"[", "[[", "ash", "cat", "run-parts", "zcat"}},
		{"/usr/bin/dash", table, nil},
		{"/bin/busybox", "", nil},
		{"/bin/busybox", "\x00[\x00" + strings.Repeat("a", 100), []string{"["}},
	} {
		if got := Applets(tt.name, []byte(tt.content)); !cmp.Equal(got, tt.want) {
			t.Errorf("%s: %q, not %q", tt.name, got, tt.want)
		}
	}
}

// TestAppletsOfHost asks the machine's own busybox, if it has one.
func TestAppletsOfHost(t *testing.T) {
	name, err := exec.LookPath("busybox")
	if err != nil {
		return
	}
	out, err := exec.Command(name, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	name, err = filepath.EvalSymlinks(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Fields(string(out)), Applets(name, b)); d != "" {
		t.Errorf("busybox --list (-), found (+):\n%s", d)
	}
}

func FuzzApplets(f *testing.F) {
	f.Add([]byte("\x00[\x00[[\x00ash\x00cat\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if list := Applets("busybox", b); !slices.IsSorted(list) {
			t.Errorf("not sorted: %q", list)
		}
	})
}
