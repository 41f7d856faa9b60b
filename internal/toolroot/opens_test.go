package toolroot

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crossroot/crossroot/internal/arch"
)

// dataPaths may be looked for below /lib and /usr/lib: they are the target's.
var dataPaths = map[string]string{
	"/usr/lib/os-release":                     "names the target's system",
	"/usr/lib/ssl/openssl.cnf":                "configuration",
	"/lib/terminfo":                           "describes terminals",
	"/usr/lib/pam.d":                          "configuration",
	"/usr/lib/systemd/system":                 "units",
	"/lib/systemd/system":                     "units",
	"/usr/lib/userdb":                         "describes users",
	"/lib/userdb":                             "describes users",
	"/usr/libexec/appstreamcli-compose":       "a program, which would be dispatched",
	"/usr/lib/x86_64-linux-gnu/charset.alias": "a text file of old systems; in libglib the path is two constants of 16 bytes",
}

// neverTraced are programs that would hurt the test even in its namespaces.
var neverTraced = map[string]string{
	"killall5":    "takes any argument for a signal and kills the test",
	"unix_chkpwd": "kills itself when it was not started by PAM",
	"unix_update": "kills itself when it was not started by PAM",
}

// openHost builds a tool root from the machine's own programs.
func openHost(t testing.TB, target string) *Root {
	t.Helper()
	return openHostIn(t, filepath.Join(t.TempDir(), "cache"), target)
}

func openHostIn(t testing.TB, cache, target string) *Root {
	t.Helper()
	a, ok := arch.Lookup(target)
	if !ok {
		t.Fatal(target)
	}
	r, err := Open(t.Context(), Source{Root: "/"}, Options{Cache: cache, Target: a})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// hostPath says whether a path would lead into the native system's libraries.
func hostPath(name string) bool {
	for p := name; p != "/" && p != "."; p = path.Dir(p) {
		if _, ok := dataPaths[p]; ok {
			return false
		}
	}
	for _, dir := range []string{"/lib/", "/lib64", "/lib32", "/libx32", "/usr/lib/", "/usr/lib64", "/usr/lib32", "/usr/libexec", "/etc/ld.so", "/etc/ld-musl"} {
		if strings.HasPrefix(name, dir) {
			return true
		}
	}
	return name == "/lib" || name == "/usr/lib"
}

// TestNoHostPaths runs every program that was collected, with --version and
// --help, in a root that has nothing else, and looks at each path that it names
// to the kernel.
func TestNoHostPaths(t *testing.T) {
	r := openHost(t, "armhf")
	s := scratch{Base: r.Base, Variant: r.Variant, Binds: map[string]string{"usr/share": "/usr/share"}, Files: map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:19000:0:99999:7:::\n",
		"etc/nsswitch.conf": "passwd: files systemd\ngroup: files systemd\nshadow: files systemd\n", "var/lib/dpkg/status": "",
	}}
	for _, tool := range r.Index.Tools {
		if tool.Unavailable != "" || neverTraced[path.Base(tool.Path)] != "" {
			continue
		}
		s.Commands = append(s.Commands, []string{tool.Path, "--version"}, []string{tool.Path, "--help"})
	}
	dump := os.Getenv("TRACE_DUMP")
	for i, ran := range s.run(t) {
		argv := strings.Join(s.Commands[i], " ")
		if len(ran.Paths) == 0 && !r.Index.tool(s.Commands[i][0]).Static {
			t.Errorf("%s: did not start: %s %s", argv, ran.Error, ran.Output)
		}
		if strings.Contains(ran.Output, "error while loading") || strings.HasPrefix(ran.Error, "killed") {
			t.Errorf("%s: %s %.200s", argv, ran.Error, ran.Output)
		}
		var bad []string
		for _, a := range ran.Paths {
			if hostPath(a.Path) && !slices.Contains(bad, a.Path) {
				bad = append(bad, a.Path)
			}
		}
		if bad != nil {
			t.Errorf("%s: names %q", argv, bad)
		}
		if dump != "" {
			t.Logf("%s: %s %d paths", argv, ran.Error, len(ran.Paths))
			for _, a := range ran.Paths {
				if rel, ok := strings.CutPrefix(a.Path, "/.cr/"); ok && strings.Contains(rel, ".so") && !strings.Contains(rel, "hwcaps") {
					_, err := os.Stat(filepath.Join(r.Base, rel))
					_, err2 := os.Stat(filepath.Join(r.Variant, rel))
					if err != nil && err2 != nil {
						t.Logf("%s: lacks %s", argv, a.Path)
					}
				}
			}
		}
	}
}

func (x *Index) tool(name string) Tool {
	for _, t := range x.Tools {
		if t.Path == name {
			return t
		}
	}
	return Tool{}
}
