package broker

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/toolroot"
)

const (
	hostLib    = "/usr/lib/x86_64-linux-gnu"
	dynload    = "usr/lib/python3.11/lib-dynload/"
	dist       = "usr/lib/python3/dist-packages/"
	armEnding  = ".cpython-311-arm-linux-gnueabihf.so"
	hostEnding = ".cpython-311-x86_64-linux-gnu.so"
)

// pythonRoot is a broker with a root of the files, and a tool root with some modules.
func pythonRoot(t *testing.T, files map[string]string) *Broker {
	t.Helper()
	b := rootWith(t, files)
	b.Target.Triplet = "arm-linux-gnueabihf"
	b.Tools = &toolroot.Index{LibDir: hostLib, Python: &toolroot.Python{Modules: []toolroot.PythonModule{
		{Source: "/" + dynload + "_ssl" + hostEnding, Package: "libpython3.11-minimal", Version: "3.11.2-6"},
		{Source: "/" + dist + "yaml/_yaml" + hostEnding, Package: "python3-yaml", Version: "6.0-3+b2"},
		{Source: "/" + dist + "rust.abi3.so"},
	}}}
	return b
}

func TestPlanPython(t *testing.T) {
	changelogs := map[string]string{
		"usr/share/doc/libpython3.11-minimal/changelog.Debian.gz": zipped("python3.11 (3.11.2-6+deb12u1) x; urgency=low\n"),
		"usr/share/doc/python3-yaml/changelog.Debian.gz":          zipped("pyyaml (6.0-3) x; urgency=low\n"),
	}
	here := map[string]string{
		dynload + "_ssl" + armEnding:    "",
		dist + "yaml/_yaml" + armEnding: "",
		dist + "rust.abi3.so":           "",
		dist + "yaml/__init__.py":       "",
		dist + "yaml/__pycache__/x.so":  "",
		"usr/lib/python2.7/old.so":      "",
	}
	maps.Copy(here, changelogs)
	links, watched, err := pythonRoot(t, here).planPython()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/" + dynload + "_ssl" + armEnding:    "/.cr/python/" + dynload + "_ssl" + hostEnding,
		"/" + dist + "yaml/_yaml" + armEnding: "/.cr/python/" + dist + "yaml/_yaml" + hostEnding,
		"/" + dist + "rust.abi3.so":           "/.cr/python/" + dist + "rust.abi3.so",
		"/lib/python3":                        "/.cr/py/usr/lib/python3",
		"/lib/python3.11":                     "/.cr/py/usr/lib/python3.11",
		"/usr/lib/arm-linux-gnueabihf":        "/.cr/lib/x86_64-linux-gnu",
		"/lib/arm-linux-gnueabihf":            "/.cr/lib/x86_64-linux-gnu",
	}
	if !maps.Equal(links, want) {
		t.Errorf("links %v, want %v", links, want)
	}
	for _, dir := range []string{"/usr/lib", "/usr/lib/python3/dist-packages/yaml", "/" + strings.TrimSuffix(dynload, "/")} {
		if !slices.Contains(watched, dir) {
			t.Errorf("%s is not watched, but %s", dir, watched)
		}
	}
	for name, want := range map[string]string{
		dynload + "_other" + armEnding:                   "lacks the module /usr/lib/python3.11/lib-dynload/_other",
		"usr/local/lib/python3.11/dist-packages/mine.so": "lacks the module /usr/local/lib/python3.11/dist-packages/mine.so",
		dist + "bundled/libx.so.1.2":                     "lacks the module",
	} {
		more := maps.Clone(here)
		more[name] = ""
		if _, _, err := pythonRoot(t, more).planPython(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	other := maps.Clone(here)
	other["usr/share/doc/python3-yaml/changelog.Debian.gz"] = zipped("pyyaml (6.1-1) x; urgency=low\n")
	if _, _, err := pythonRoot(t, other).planPython(); err == nil || !strings.Contains(err.Error(), "the target has version 6.1-1 of python3-yaml, the tool root 6.0-3+b2") {
		t.Errorf("another version: error %v", err)
	}
}

func TestNativePython(t *testing.T) {
	native := policy.Decision{Outcome: policy.Native, Native: "/.cr/bin/python3.11"}
	for name, tt := range map[string]struct {
		d    policy.Decision
		want bool
	}{
		"native":       {native, true},
		"emulated":     {policy.Decision{Outcome: policy.Emulate}, false},
		"in some case": {policy.Decision{Outcome: policy.Emulate, ByArgs: []policy.ArgCase{{Then: native}}}, true},
		"another":      {policy.Decision{Outcome: policy.Native, Native: "/.cr/bin/perl"}, false},
		"itself":       {policy.Decision{Outcome: policy.Native, Native: "/usr/bin/python3.11"}, false},
	} {
		if got := nativePython(tt.d); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestFittingXS(t *testing.T) {
	b := rootWith(t, map[string]string{
		"usr/share/doc/liba-perl/changelog.gz": zipped("liba-perl (1.0-2) x; urgency=low\n"),
		"usr/share/doc/libb-perl/changelog.gz": zipped("libb-perl (2.0-1) x; urgency=low\n"),
	})
	b.Tools = &toolroot.Index{Perl: &toolroot.Perl{Packages: map[string]string{"liba-perl": "1.0-2+b1", "libb-perl": "2.1-1", "libc-perl": "3-1"}}}
	d := toolroot.PerlDir{
		XS:     []string{"auto/A/A.so", "auto/B/B.so", "auto/C/C.so", "auto/D/D.so"},
		Owners: map[string]string{"auto/A/A.so": "liba-perl", "auto/B/B.so": "libb-perl", "auto/C/C.so": "libc-perl"},
	}
	if got, want := b.fittingXS(d), []string{"auto/A/A.so", "auto/C/C.so", "auto/D/D.so"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAnyEvent(t *testing.T) {
	event := func(mask uint32, name string) []byte {
		b := make([]byte, unix.SizeofInotifyEvent)
		binary.NativeEndian.PutUint32(b[4:], mask)
		padded := name + strings.Repeat("\x00", 16-len(name)%16)
		binary.NativeEndian.PutUint32(b[12:], uint32(len(padded)))
		return append(b, padded...)
	}
	matters := func(name string, dir bool) bool { return dir || name == "x.so" }
	for name, tt := range map[string]struct {
		events []byte
		want   bool
	}{
		"none":      {nil, false},
		"other":     {event(unix.IN_CREATE, "x.py"), false},
		"second":    {append(event(unix.IN_CREATE, "x.py"), event(unix.IN_MOVED_TO, "x.so")...), true},
		"directory": {event(unix.IN_CREATE|unix.IN_ISDIR, "d"), true},
		"lost":      {event(unix.IN_Q_OVERFLOW, ""), true},
		"cut":       {event(unix.IN_CREATE, "x.so")[:10], false},
	} {
		if got := anyEvent(tt.events, matters); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
