package toolroot

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/arch"
)

// TestGNUNames: as in the bash of Debian 12 for each architecture.
func TestGNUNames(t *testing.T) {
	for name, want := range map[string][]string{
		"amd64":    {"x86_64-pc-linux-gnu", "x86_64", "linux-gnu"},
		"arm64":    {"aarch64-unknown-linux-gnu", "aarch64", "linux-gnu"},
		"armhf":    {"arm-unknown-linux-gnueabihf", "arm", "linux-gnueabihf"},
		"armel":    {"arm-unknown-linux-gnueabi", "arm", "linux-gnueabi"},
		"i386":     {"i686-pc-linux-gnu", "i686", "linux-gnu"},
		"s390x":    {"s390x-ibm-linux-gnu", "s390x", "linux-gnu"},
		"ppc64el":  {"powerpc64le-unknown-linux-gnu", "powerpc64le", "linux-gnu"},
		"mips64el": {"mips64el-unknown-linux-gnuabi64", "mips64el", "linux-gnuabi64"},
		"mipsel":   {"mipsel-unknown-linux-gnu", "mipsel", "linux-gnu"},
	} {
		a, ok := arch.Lookup(name)
		if !ok {
			t.Fatal(name)
		}
		if d := cmp.Diff(want, gnuNames(a)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestIdentity asks programs for the name of their CPU.
func TestIdentity(t *testing.T) {
	onAMD64(t)
	cache := filepath.Join(t.TempDir(), "cache")
	for _, name := range []string{"armhf", "arm64", "i386", "mips64el", "amd64"} {
		t.Run(name, func(t *testing.T) {
			r := openHostIn(t, cache, name)
			a, _ := arch.Lookup(name)
			s := scratch{Base: r.Base, Variant: r.Variant, Binds: map[string]string{"usr/share": "/usr/share"}}
			s.Files = map[string]string{"var/lib/dpkg/status": ""}
			var want []string
			ask := func(tool, answer string, argv ...string) {
				if found, ok := r.Lookup(tool); ok && found.Identity != "" {
					s.Commands = append(s.Commands, append([]string{found.Path}, argv...))
					want = append(want, answer)
				} else if tool == "/usr/bin/dpkg" {
					t.Errorf("no dpkg: %s", r.Missing(tool))
				} else {
					t.Logf("no %s: %s", tool, r.Missing(tool))
				}
			}
			ask("/usr/bin/dpkg", name, "--print-architecture")
			ask("/usr/bin/dpkg", "("+name+").", "--version")
			ask("/usr/bin/dpkg-deb", "("+name+").", "--version")
			ask("/usr/bin/dpkg-query", "("+name+").", "--version")
			ask("/usr/bin/apt-config", "A='"+name+"'", "shell", "A", "APT::Architecture")
			ask("/bin/bash", strings.Join(append(gnuNames(a), gnuNames(a)[0]), " "), "-c", "echo $MACHTYPE $HOSTTYPE $OSTYPE ${BASH_VERSINFO[5]}")
			ask("/bin/bash", "("+gnuNames(a)[0]+")", "--version")
			for i, ran := range s.run(t) {
				if !strings.Contains(ran.Output, want[i]) {
					t.Errorf("%q: %q, not %q", s.Commands[i], ran.Output, want[i])
				}
			}
		})
	}
}
