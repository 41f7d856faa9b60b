package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A19: roots under odd names, at odd places.
func TestRootArguments(t *testing.T) {
	long := strings.Repeat("directory-of-thirty-characters/", 10)
	for name, as := range map[string]string{
		"colon": "a:b", "comma": "a,b", "backslash": `a\b`, "colon at the end": "a:", "double quote": `a"b`, "quote": "a'b", "blank": " a b ",
		"newline": "a\nb", "escape": "a\x1b[2Jb", "not UTF-8": "a\xff\xfe", "octal": `a\040b`, "equals": "lowerdir=a", "dash": "-v",
		"percent": "%s%n%!", "long": long + "root", "dots": "...", "star": "*",
	} {
		t.Run(name, func(t *testing.T) {
			b := Setup(t)
			b.must(os.MkdirAll(filepath.Dir(filepath.Join(b.dir, as)), 0o755))
			moved := filepath.Join(b.dir, as)
			b.must(os.Rename(b.Root, moved))
			b.Root = moved
			before := b.Manifest(b.Root)
			b.Works("echo x > /etc/new; rm /etc/hosts; mv /opt /opt2")
			b.Only(before, "etc/new", "etc/hosts", "opt", "opt2", ".")
			if b.Read(b.In("etc/new")) != "x\n" {
				b.Error("not committed")
			}
			r := b.Crossroot(Options{}, "run", "--spool", "disk", "--fidelity", "near", b.Root, "rm", "/etc/new")
			if _, err := os.Lstat(b.In("etc/new")); r.Code != 0 || !os.IsNotExist(err) {
				b.Errorf("spool on disk: exit %d: %s%s (%v)", r.Code, r.Out, r.Err, err)
			}
			r = b.Crossroot(Options{}, "run", b.Root, "/nonexistent")
			if r.Code != 127 {
				b.Errorf("exit %d", r.Code)
			}
			b.oneLine(r.Err, "/nonexistent")
		})
	}
}

// A19: ways to say where the root is.
func TestRootByOtherNames(t *testing.T) {
	b := Setup(t)
	via := filepath.Join(b.dir, "via")
	b.must(os.Symlink(b.Root, via))
	for _, c := range []struct{ name, dir string }{
		{".", b.Root}, {"..", b.In("etc")}, {"root", b.dir}, {"./root/", b.dir}, {via, ""}, {via + "/", ""}, {"../../root", b.In("etc")},
		{b.Root + "///", ""}, {b.Root + "/etc/..", ""}, {"/proc/self/cwd", b.Root},
	} {
		r := b.Crossroot(Options{Dir: c.dir}, "run", "--fidelity", "near", c.name, "sh", "-c", "pwd; uname -m")
		if r.Code != 0 || r.Out != "/\narmv7l\n" {
			b.Errorf("%q in %q: exit %d: %s%s", c.name, c.dir, r.Code, r.Out, r.Err)
		}
	}
}

// A19: what is no root is refused in one line.
func TestNoRoots(t *testing.T) {
	b := Setup(t)
	empty, loop := filepath.Join(b.dir, "empty"), filepath.Join(b.dir, "loop")
	b.must(os.Mkdir(empty, 0o755))
	b.must(os.Symlink(loop, loop))
	texts := filepath.Join(b.dir, "texts")
	b.Write(filepath.Join(texts, "bin/sh"), "#!/bin/sh\n")
	fifos := filepath.Join(b.dir, "fifo")
	b.must(fifo(fifos))
	for name, words := range map[string][]string{
		"/": {"this machine's own root"}, "/.": {"this machine's own root"}, "//": {"this machine's own root"},
		"/proc/self/root": {"this machine's own root"}, "": {"name of the root is empty"}, empty: {empty, "is empty"},
		filepath.Join(b.Canary, "a"): {"not a directory"}, filepath.Join(b.dir, "missing"): {"no such file"}, loop: {"too many"},
		fifos: {"not a directory"}, texts: {texts, "no executable"}, b.Canary: {"no executable"}, "/dev/null": {"not a directory"},
		filepath.Join(b.dir, "esc\x1b[2J\n"): {"no such file"},
	} {
		r := b.Crossroot(Options{}, "run", name, "true")
		if r.Code != failed || r.Out != "" {
			b.Errorf("%q: exit %d, output %q", name, r.Code, r.Out)
		}
		b.oneLine(r.Err, words...)
	}
}

// A19: crossroot's own directories inside the root, and the root inside them.
func TestOwnDirectoriesAndRoot(t *testing.T) {
	b := Setup(t)
	env := func(cache string) []string { return append(os.Environ(), "CROSSROOT_CACHE="+cache) }
	args := func(root string) []string {
		return []string{"run", "--fidelity", "near", root, "sh", "-c", "echo x >> /etc/new; uname -m; ls /var/cache"}
	}
	inside := b.In("var/cache/crossroot")
	r := b.Crossroot(Options{Env: env(inside)}, args(b.Root)...)
	if r.Code == failed {
		b.oneLine(r.Err)
	} else if r.Code != 0 || b.Read(b.In("etc/new")) != "x\n" {
		b.Errorf("cache inside the root: exit %d: %s%s", r.Code, r.Out, r.Err)
	}
	b.must(os.RemoveAll(inside))

	cache := filepath.Join(b.dir, "cache")
	root := filepath.Join(cache, "roots/r")
	b.MakeRoot(root)
	b.must(os.Chmod(cache, 0o700))
	r = b.Crossroot(Options{Env: env(cache)}, args(root)...)
	if r.Code != 0 || !strings.HasPrefix(r.Out, "armv7l\n") {
		b.Errorf("root inside the cache: exit %d: %s%s", r.Code, r.Out, r.Err)
	}
}

// A14, on the way: others must not be able to write to crossroot's directories.
func TestOwnDirectoriesOpenToOthers(t *testing.T) {
	b := Setup(t)
	cache := filepath.Join(b.dir, "cache")
	b.must(os.Mkdir(cache, 0o777))
	b.must(os.Chmod(cache, 0o777))
	r := b.Crossroot(Options{Env: append(os.Environ(), "CROSSROOT_CACHE="+cache)}, "run", b.Root, "true")
	if r.Code != failed {
		b.Errorf("exit %d: %s%s", r.Code, r.Out, r.Err)
	}
	b.oneLine(r.Err, cache)
}

// A19: the working directory may be gone.
func TestDeletedWorkingDirectory(t *testing.T) {
	b := Setup(t)
	gone := filepath.Join(b.dir, "gone")
	b.must(os.Mkdir(gone, 0o755))
	script := "cd " + quote(gone) + " && rmdir " + quote(gone) + " && exec " + quote(filepath.Join(os.Getenv(envDir), "crossroot")) + ` run --fidelity near "$R" pwd`
	if out := b.shell(script); out != "/\n" {
		b.Errorf("%q", out)
	}
}
