package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A13: a file of ROOT that is a hard link to one of the host's is replaced by the commit, never written into.
func TestHardLinkToHost(t *testing.T) {
	for script, want := range map[string]string{
		"echo x >> /etc/linked":                          "precious\nx\n",
		"echo x > /etc/linked":                           "x\n",
		"chmod 600 /etc/linked":                          "precious\n",
		"touch -d @0 /etc/linked":                        "precious\n",
		"truncate -s 0 /etc/linked":                      "",
		"mv /etc/linked /etc/l && cp /etc/l /etc/linked": "precious\n",
	} {
		t.Run(strings.Fields(script)[0], func(t *testing.T) {
			b := Setup(t)
			b.must(os.Link(filepath.Join(b.Canary, "a"), b.In("etc/linked")))
			b.Works(script)
			if got := b.Read(b.In("etc/linked")); got != want {
				b.Errorf("%s: %q in the root, want %q", script, got, want)
			}
			// The canary itself, its mode and its time are the host oracle's.
		})
	}
	t.Run("the attack", func(t *testing.T) {
		b := Setup(t)
		victim := filepath.Join(b.dir, "victim")
		b.Write(victim, "precious\n")
		b.must(os.Link(victim, b.In("etc/linked")))
		b.Naive(`cd "$R" && echo x >> etc/linked`)
		if b.Read(victim) != "precious\nx\n" {
			b.Error("the link did not lead to the host's file")
		}
	})
}

// A16: a root that carries overlayfs's own attributes. Either the run fails and changes nothing, naming them if it is
// crossroot that refuses, or they mean nothing: files are what they are without them, and a file touched by the run is
// committed as one of its own.
func TestOverlayAttributes(t *testing.T) {
	prefixes := []string{"user.overlay."}
	if isRoot() {
		prefixes = append(prefixes, "trusted.overlay.")
	}
	for _, prefix := range prefixes {
		for _, a := range []struct{ name, path, value string }{
			{"opaque", "etc", "y"}, {"opaque", "etc", "x"}, {"whiteout", "etc/hosts", "y"}, {"whiteouts", "etc", "y"},
			{"redirect", "etc", "/usr"}, {"redirect", "etc/hosts", "/etc/shadow"}, {"metacopy", "etc/hosts", ""},
			{"origin", "etc/hosts", "\x00\xfb\x00\x00"}, {"impure", "etc", "y"}, {"nlink", "etc/hosts", "U+1"},
			{"upper", "etc", "zz"}, {"protattr", "etc/hosts", "i"}, {"redirect", ".", "/etc"}, {"overlay.redirect", "etc", "/usr"},
		} {
			t.Run(prefix+a.name+" on "+strings.ReplaceAll(a.path, "/", "-"), func(t *testing.T) {
				b := Setup(t)
				if err := unix.Lsetxattr(b.In(a.path), prefix+a.name, []byte(a.value), 0); errors.Is(err, unix.ENOTSUP) {
					b.Fatal("the file system of the tests has no such attributes: ", err)
				} else if err != nil {
					b.Fatal(err)
				}
				before := b.Manifest(b.Root)
				hosts := b.Read(b.In("etc/hosts"))
				out, err, code := Run(b, b.Root, "cat /etc/hosts; ls /etc; echo x > /etc/new; chmod 640 /etc/hosts")
				if code == failed {
					b.oneLine(err, prefix+a.name)
				}
				if code != 0 { // refused by crossroot, or by the kernel, which shows such a file to nobody
					b.Unchanged(before)
					return
				}
				if !strings.HasPrefix(out, hosts) || !strings.Contains(out, "passwd") || strings.Contains(out, "sbin") {
					b.Errorf("%q %s", out, err)
				}
				b.Only(before, "etc/new", "etc/hosts")
				if got := b.Read(b.In("etc/hosts")); got != hosts {
					b.Errorf("etc/hosts is now %q", got)
				}
			})
		}
	}
}
