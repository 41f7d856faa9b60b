package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A05: files that runtimes like to mount over or write to, in every bad shape, with and without the host's network.
func TestNetworkFiles(t *testing.T) {
	for _, name := range []string{"resolv.conf", "hosts", "mtab"} {
		t.Run(name, func(t *testing.T) {
			b := Setup(t)
			for shape, plant := range map[string]func(string) error{
				"out": link(filepath.Join(b.Canary, "new")), "out to a file": link(filepath.Join(b.Canary, "a")),
				"dangling": link("../run/systemd/resolve/stub-resolv.conf"), "fifo": fifo, "directory": directory, "socket": socket,
				"loop": link(name), "missing": func(string) error { return nil },
			} {
				b.Replace("etc/"+name, plant)
				before := b.Manifest(b.Root)
				for _, net := range []string{"none", "host"} {
					r := b.Crossroot(Options{}, "run", "--net", net, "--fidelity", "near", b.Root, "sh", "-c", "echo it runs")
					if r.Code != 0 || r.Out != "it runs\n" {
						b.Errorf("%s, --net %s: exit %d: %s%s", shape, net, r.Code, r.Out, r.Err)
					}
				}
				b.Unchanged(before)
			}
		})
	}
}

// A06: absolute links mean what they mean after a chroot.
func TestAbsoluteLinks(t *testing.T) {
	b := Setup(t)
	for _, top := range []string{"bin", "sbin", "lib"} {
		b.Replace(top, link("/usr/"+top))
	}
	b.Replace("etc/alternatives/stream-editor", link("/usr/bin/sed"))
	b.Replace("usr/bin/sed-alternative", link("/etc/alternatives/stream-editor"))
	if out := b.Works("echo abc | /bin/sed-alternative s/b/x/; /bin/uname -m"); out != "axc\narmv7l\n" {
		b.Errorf("%q", out)
	}
}

// A07: the user database in every bad shape. Reading is bounded in time and size, for run and for shell, which looks
// up the login shell there.
func TestUserDatabase(t *testing.T) {
	for _, name := range []string{"passwd", "group", "shadow"} {
		t.Run(name, func(t *testing.T) {
			b := Setup(t)
			for shape, plant := range map[string]func(string) error{
				"out": link(filepath.Join(b.Canary, "a")), "fifo": fifo, "zeros": link("/dev/zero"), "8 GiB": sparse(8 << 30),
				"directory": directory, "long line": file(strings.Repeat("x", 100<<20)), "NULs": file("root\x00:x:0:0:\x00\n:\n:::::::::\n"),
			} {
				b.Replace("etc/"+name, plant)
				for _, args := range [][]string{
					{"run", "--fidelity", "near", b.Root, "echo", "it runs"}, {"shell", "--fidelity", "near", b.Root},
				} {
					began := time.Now()
					r := b.Crossroot(Options{Stdin: "echo it runs\n"}, args...)
					if r.Code != 0 || r.Out != "it runs\n" {
						b.Errorf("%s, %s: exit %d: %s%s", shape, args[0], r.Code, r.Out, r.Err)
					}
					if d := time.Since(began); d > 5*time.Second {
						b.Errorf("%s, %s: %v", shape, args[0], d)
					}
				}
				b.must(os.RemoveAll(b.In("etc/" + name)))
			}
		})
	}
	t.Run("link inside", func(t *testing.T) {
		b := Setup(t)
		b.must(os.Rename(b.In("etc/passwd"), b.In("usr/passwd")))
		b.Replace("etc/passwd", link("/usr/passwd"))
		b.Write(b.In("usr/passwd"), "root:x:0:0:root:/root:/usr/bin/bash\nwww-data:x:33:33::/:/bin/sh\n")
		r := b.Crossroot(Options{Stdin: "echo $SHELL; id -un\n"}, "shell", "--fidelity", "near", b.Root)
		if r.Code != 0 || r.Out != "/usr/bin/bash\nroot\n" {
			b.Errorf("exit %d: %q %s", r.Code, r.Out, r.Err)
		}
	})
}

// configuration is what crossroot itself, or a builtin of its, may read in a root.
var configuration = []string{
	"etc/os-release", "etc/nsswitch.conf", "etc/pam.d/common-auth", "etc/ld.so.conf", "etc/ld.so.conf.d/x.conf", "etc/ld.so.cache",
	"var/lib/dpkg/status", "var/lib/dpkg/updates/0000", "usr/share/doc/dash/changelog.Debian.gz", "usr/share/doc/coreutils/changelog.gz",
	"var/cache/apt/archives/dash_1_armhf.deb", "etc/opkg.conf", "usr/lib/opkg/status", "etc/apt/sources.list",
}

// reads makes crossroot read all of these: exact fidelity asks for versions, ldconfig for the loader's configuration.
func (b *Box) reads() {
	b.Helper()
	b.Write(b.In("etc/ld.so.conf.d/.keep"), "")
	before := b.Manifest(b.Root)
	for _, args := range [][]string{
		{"run", "--keep", "never", b.Root, "true"},
		{"run", "--keep", "never", b.Root, "ldconfig"},
		{"run", "--keep", "never", b.Root, "chown", "0", "/etc/hosts"},
		{"explain", b.Root, "/usr/bin/dash"},
		{"explain", b.Root, "/usr/bin/id"},
	} {
		r := b.Crossroot(Options{}, args...)
		if r.Code == failed { // what can't be vouched for is emulated, and may fail there
			b.Errorf("%s: exit %d: %s", args, r.Code, r.Err)
		}
	}
	b.Unchanged(before)
}

// A08: a FIFO in place of a file that is read blocks nothing.
func TestFIFOs(t *testing.T) {
	b := Setup(t)
	for _, name := range configuration {
		b.Replace(name, fifo)
	}
	b.reads()
}

// A08: neither do executables that are FIFOs, when the CPU is looked for.
func TestFIFOsAsExecutables(t *testing.T) {
	b := Setup(t)
	for _, name := range []string{"usr/bin/sh", "usr/bin/busybox", "usr/bin/env", "usr/bin/[", "usr/bin/arch"} {
		b.Replace(name, fifo)
	}
	r := b.Crossroot(Options{}, "run", "--fidelity", "near", b.Root, "uname", "-m")
	if r.Code != 0 || r.Out != "armv7l\n" {
		b.Errorf("exit %d: %s%s", r.Code, r.Out, r.Err)
	}
	r = b.Crossroot(Options{}, "run", "--fidelity", "near", b.Root, "env")
	if r.Code != 127 && r.Code != 126 {
		b.Errorf("a FIFO was executed: exit %d: %s%s", r.Code, r.Out, r.Err)
	}
}

// A09: a device in place of a file that is read is not opened. Only real root can plant one.
func TestDevicesAsConfiguration(t *testing.T) {
	b := Setup(t)
	for i, name := range configuration {
		// A character device that never ends, and a block device whose opening may load a module.
		mode, dev := uint32(unix.S_IFCHR|0o644), unix.Mkdev(1, 5)
		if i%2 == 1 {
			mode, dev = unix.S_IFBLK|0o644, unix.Mkdev(7, 0)
		}
		b.must(os.RemoveAll(b.In(name)))
		b.must(os.MkdirAll(filepath.Dir(b.In(name)), 0o755))
		if err := unix.Mknod(b.In(name), mode, int(dev)); errors.Is(err, syscall.EPERM) && !isRoot() {
			b.Log("only root can make devices")
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
	b.reads()
}
