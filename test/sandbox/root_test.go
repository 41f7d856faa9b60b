package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// links out of the root, as seen from the directory that they lie in.
func (b *Box) outward() map[string]string {
	up := strings.Repeat("../", 40)
	return map[string]string{
		"absolute":           b.Canary,
		"relative":           up + b.Canary[1:],
		"absolute with dots": "/" + up + b.Canary[1:],
	}
}

// A01, A02: mount points of ROOT that lead elsewhere are refused; a mount there would cover the host's directory.
func TestMountPoints(t *testing.T) {
	for _, name := range []string{"proc", "dev", ".cr"} {
		t.Run(name, func(t *testing.T) {
			b := Setup(t)
			for how, target := range b.outward() {
				b.Replace(name, link(target))
				b.Logf("%s: %s", name, how)
				b.Refused("/" + name + " is a symlink, not a directory")
			}
			for what, plant := range map[string]func(string) error{"a file": file("x"), "a FIFO": fifo} {
				b.Replace(name, plant)
				b.Refused("/" + name + " is " + what + ", not a directory")
			}
		})
	}
	t.Run("the attack", func(t *testing.T) {
		b := Setup(t)
		b.Replace("proc", link(b.Canary))
		if out := b.Naive(`mount -t proc proc "$R/proc" && ls "$C"`); !strings.Contains(out, "meminfo") {
			b.Errorf("a mount on the link did not land in the canary directory: %s", out)
		}
	})
	t.Run("socket", func(t *testing.T) {
		b := Setup(t)
		b.Replace("proc", socket)
		b.Refused("/proc is a socket, not a directory")
	})
	t.Run("missing", func(t *testing.T) {
		b := Setup(t)
		for _, name := range []string{"proc", "dev"} {
			b.must(os.Remove(b.In(name)))
		}
		before := b.Manifest(b.Root)
		b.Works("test -e /proc/self/exe && test -c /dev/null && echo x > /etc/new")
		b.Only(before, "etc/new")
	})
	t.Run("link to itself", func(t *testing.T) {
		b := Setup(t)
		b.Replace("proc", link("/proc"))
		_, err, code := Run(b, b.Root, "test -e /proc/self/exe")
		if code != 0 {
			b.Fatalf("exit %d: %s", code, err)
		}
		b.oneLine(err, "warning", "/proc is a symlink to itself: replaced by a directory")
		if info, err := os.Lstat(b.In("proc")); err != nil || !info.IsDir() {
			b.Errorf("%v %v", info, err)
		}
	})
	t.Run("not empty", func(t *testing.T) {
		b := Setup(t)
		b.Replace(".cr", directory)
		b.Write(b.In(".cr/self"), "x")
		b.Refused("/.cr exists and is not empty")
	})
}

func socket(path string) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	// The path of a socket is short; the working directory isn't.
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := os.Chdir(filepath.Dir(path)); err != nil {
		return err
	}
	defer func() { _ = os.Chdir(here) }()
	return syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Base(path)})
}

// A03: what lies in ROOT's /dev is never followed, opened or bound: the run's own /dev is mounted on it.
func TestDevices(t *testing.T) {
	for name, target := range map[string]string{
		"core_pattern": "/proc/sys/kernel/core_pattern",
		"canary":       "", // the canary's file
		"regular file": "-",
	} {
		t.Run(name, func(t *testing.T) {
			b := Setup(t)
			if target == "" {
				target = filepath.Join(b.Canary, "a")
			}
			for _, dev := range []string{"null", "console", "ptmx", "pts/0", "tty", "zero", "fd", "stdin", "shm"} {
				if target == "-" {
					b.Replace("dev/"+dev, file("planted"))
				} else {
					b.Replace("dev/"+dev, link(target))
				}
			}
			before := b.Manifest(b.Root)
			out := b.Works("echo '|/tmp/x' > /dev/null; stat -c '%F %t:%T' /dev/null /dev/zero; ls /dev/pts /dev/shm; echo x > /dev/shm/x")
			if want := "character special file 1:3\ncharacter special file 1:5\n"; !strings.HasPrefix(out, want) {
				b.Errorf("%q, want %q…", out, want)
			}
			b.Unchanged(before)
		})
	}
	t.Run("the attack", func(t *testing.T) {
		b := Setup(t)
		victim := filepath.Join(b.dir, "victim")
		b.Write(victim, "precious")
		b.Replace("dev/null", link(victim))
		b.Naive(`echo overwritten > "$R/dev/null"`)
		if b.Read(victim) != "overwritten\n" {
			b.Error("the link was not followed")
		}
	})
}

// A04: directories that scripts write to and that lead out of ROOT are resolved inside it.
func TestLinksOut(t *testing.T) {
	for _, name := range []string{"sys", "sys/fs/cgroup", "run", "tmp", "var/run", "etc"} {
		t.Run(strings.ReplaceAll(name, "/", "-"), func(t *testing.T) {
			b := Setup(t)
			for how, target := range b.outward() {
				b.Replace(name, link(target))
				before := b.Manifest(b.Root)
				if _, _, code := Run(b, b.Root, "echo x > /"+name+"/written"); code == 0 || code == failed {
					b.Errorf("%s: exit %d: the target's directory is not in the root", how, code)
				}
				b.Unchanged(before)
			}
			b.Replace(name, link("/opt"))
			b.Works("echo x > /" + name + "/written")
			if b.Read(b.In("opt/written")) != "x\n" {
				b.Error("not written where the link leads inside")
			}
		})
	}
	t.Run("the attack", func(t *testing.T) {
		b := Setup(t)
		victim := filepath.Join(b.dir, "victim")
		b.must(os.Mkdir(victim, 0o755))
		b.Replace("tmp", link(victim))
		b.Naive(`echo x > "$R/tmp/written"`)
		if _, err := os.Stat(filepath.Join(victim, "written")); err != nil {
			b.Error(err)
		}
	})
}
