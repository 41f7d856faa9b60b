package toolroot

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/rootfs"
	"github.com/crossroot/crossroot/internal/relocate/tinyelf"
)

func mkfifo(name string) error { return unix.Mkfifo(name, 0o644) }

// gather lists what is collected: "dest ← source" or "dest → link target".
func gather(t *testing.T, root string) ([]string, *collection) {
	t.Helper()
	src, err := rootfs.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close() })
	c, err := collect(src, arch.Host(), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range c.items {
		switch {
		case it.dest == "lib/locale": // the same in all
		case it.link != "":
			got = append(got, it.dest+" → "+it.link)
		default:
			got = append(got, it.dest+" ← "+it.real)
		}
	}
	slices.Sort(got)
	return got, c
}

func TestLayouts(t *testing.T) {
	onAMD64(t)
	tests := []struct {
		name  string
		files tree
		want  []string
	}{
		{"Debian", debian(), []string{
			"bin/dash ← /usr/bin/dash", "bin/dpkg ← /usr/bin/dpkg", "bin/mawk ← /usr/bin/mawk",
			"ld.so ← /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
			"lib/x86_64-linux-gnu/libc.so.6 ← /usr/lib/x86_64-linux-gnu/libc.so.6",
			"lib/x86_64-linux-gnu/libz.so.1 ← /usr/lib/x86_64-linux-gnu/libz.so.1.2.13",
			"sbin/useradd ← /usr/sbin/useradd", "x86_64-linux-gnu → lib/x86_64-linux-gnu",
		}},
		{"Debian, /usr not merged", tree{
			"bin/dash": program(glibc64), "bin/sh": "-> dash", "usr/bin/awk": program(glibc64, "libz.so.1"),
			"lib64/ld-linux-x86-64.so.2":                library("ld-linux-x86-64.so.2"),
			"lib/x86_64-linux-gnu/libc.so.6":            library("libc.so.6"),
			"usr/lib/x86_64-linux-gnu/libz.so.1":        library("libz.so.1"),
			"lib/x86_64-linux-gnu/security/pam_unix.so": library("pam_unix.so"),
		}, []string{
			"bin/awk ← /usr/bin/awk", "bin/dash ← /bin/dash", "ld.so ← /lib64/ld-linux-x86-64.so.2",
			"lib/x86_64-linux-gnu/libc.so.6 ← /lib/x86_64-linux-gnu/libc.so.6",
			"lib/x86_64-linux-gnu/libz.so.1 ← /usr/lib/x86_64-linux-gnu/libz.so.1",
			"lib/x86_64-linux-gnu/security/pam_unix.so ← /lib/x86_64-linux-gnu/security/pam_unix.so",
			"x86_64-linux-gnu → lib/x86_64-linux-gnu",
		}},
		{"Fedora", tree{
			"bin": "-> usr/bin", "sbin": "-> usr/bin", "usr/sbin": "-> bin", "lib": "-> usr/lib", "lib64": "-> usr/lib64",
			"usr/bin/bash": program(glibc64, "libtinfo.so.6"), "usr/bin/sh": "-> bash", "usr/bin/useradd": program(glibc64),
			"usr/lib64/ld-linux-x86-64.so.2": library("ld-linux-x86-64.so.2"), "usr/lib64/libc.so.6": library("libc.so.6"),
			"usr/lib64/libtinfo.so.6": library("libtinfo.so.6"), "usr/lib64/gconv/UTF-16.so": library("", "libc.so.6"),
			"usr/lib64/gconv/gconv-modules": "module INTERNAL UTF-16// UTF-16 1\n",
		}, []string{
			"L → lib64", "bin/bash ← /usr/bin/bash", "bin/useradd ← /usr/bin/useradd", "ld.so ← /usr/lib64/ld-linux-x86-64.so.2",
			"lib64/gconv/UTF-16.so ← /usr/lib64/gconv/UTF-16.so", "lib64/gconv/gconv-modules ← /usr/lib64/gconv/gconv-modules",
			"lib64/libc.so.6 ← /usr/lib64/libc.so.6", "lib64/libtinfo.so.6 ← /usr/lib64/libtinfo.so.6",
		}},
		{"Arch", tree{
			"bin": "-> usr/bin", "sbin": "-> usr/bin", "lib": "-> usr/lib", "lib64": "-> usr/lib", "usr/lib64": "-> lib", "usr/sbin": "-> bin",
			"usr/bin/bash": program(glibc64), "usr/bin/sh": "-> bash", "usr/lib/ld-linux-x86-64.so.2": library("ld-linux-x86-64.so.2"),
			"usr/lib/libc.so.6": library("libc.so.6"), "usr/lib/security/pam_unix.so": library(""),
		}, []string{
			"bin/bash ← /usr/bin/bash", "ld.so ← /usr/lib/ld-linux-x86-64.so.2", "lib/libc.so.6 ← /usr/lib/libc.so.6",
			"lib/security/pam_unix.so ← /usr/lib/security/pam_unix.so", "security → lib/security",
		}},
		{"Alpine", tree{
			"bin/busybox": string(tinyelf.File{Machine: hostMachine(), Interp: muslLd, Needed: []string{"libc.musl-x86_64.so.1", "libz.so.1"}}.Bytes()),
			"bin/sh":      "-> /bin/busybox", "lib/ld-musl-x86_64.so.1": library("libc.musl-x86_64.so.1"),
			"lib/libc.musl-x86_64.so.1": "-> ld-musl-x86_64.so.1", "usr/lib/libz.so.1": library("libz.so.1", "libc.musl-x86_64.so.1"),
		}, []string{
			"bin/busybox ← /bin/busybox", "ld.so ← /lib/ld-musl-x86_64.so.1", "lib/libz.so.1 ← /usr/lib/libz.so.1",
		}},
		{"only a static busybox", tree{"bin/busybox": string(tinyelf.File{Machine: hostMachine()}.Bytes()), "bin/sh": "-> busybox"}, []string{
			"bin/busybox ← /bin/busybox",
		}},
		{"directories of ld.so.conf and RUNPATH", tree{
			"bin/sh":                     string(tinyelf.File{Machine: hostMachine(), Interp: glibc64, Needed: []string{"liba.so", "libb.so", "libo.so"}, RunPath: "/opt/x:$ORIGIN/../private"}.Bytes()),
			"lib64/ld-linux-x86-64.so.2": library("ld-linux-x86-64.so.2"), "lib/x86_64-linux-gnu/libc.so.6": library("libc.so.6"),
			"etc/ld.so.conf": "# first\ninclude /etc/ld.so.conf.d/*.conf\n", "etc/ld.so.conf.d/a.conf": "/usr/local/lib\ninclude a.conf\n",
			"usr/local/lib/liba.so": library("liba.so"), "lib/x86_64-linux-gnu/liba.so": library("liba.so", "libc.so.6"),
			"opt/x/libb.so": library("libb.so"), "private/libo.so": library("libo.so", "libgone.so"),
		}, []string{
			"bin/sh ← /bin/sh", "ld.so ← /lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/liba.so ← /usr/local/lib/liba.so",
			"lib/x86_64-linux-gnu/libb.so ← /opt/x/libb.so", "lib/x86_64-linux-gnu/libo.so ← /private/libo.so",
			"x86_64-linux-gnu → lib/x86_64-linux-gnu",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := gather(t, tt.files.make(t))
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("collected (-want +got):\n%s", d)
			}
		})
	}
}

// TestHostileSource: whatever links a root has, what is read lies inside it.
func TestHostileSource(t *testing.T) {
	onAMD64(t)
	files := debian()
	files["usr/bin/cat"] = "-> /proc/self/exe"
	files["usr/bin/ls"] = "-> ../../../../../../../../../../../../usr/bin/env"
	files["usr/bin/grep"] = "-> grep"
	files["usr/bin/sed"] = "fifo"
	files["usr/bin/tar"] = "dir"
	files["usr/bin/cut"] = "-> " + strings.Repeat("./", 2000) + "dash"
	files["usr/bin/cp"] = "\x7fELF"
	files["usr/bin/mv"] = program(glibc64)[:200]
	files["usr/bin/tr"] = program("/opt/other/ld.so")
	files["usr/bin/rm"] = string(tinyelf.File{Machine: 3, Interp: glibc64}.Bytes())
	files["usr/bin/chown"] = program(glibc64, "..", "../../../etc/passwd", "libz.so.1\nx", "/etc/passwd")
	files["usr/lib/x86_64-linux-gnu/security"] = "-> /"
	files["etc/ld.so.conf"] = "include /etc/ld.so.conf\n"
	got, c := gather(t, files.make(t))
	want := []string{
		"bin/chown ← /usr/bin/chown", "bin/dash ← /usr/bin/dash", "bin/dpkg ← /usr/bin/dpkg", "bin/mawk ← /usr/bin/mawk",
		"ld.so ← /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
		"lib/x86_64-linux-gnu/libc.so.6 ← /usr/lib/x86_64-linux-gnu/libc.so.6",
		"lib/x86_64-linux-gnu/libz.so.1 ← /usr/lib/x86_64-linux-gnu/libz.so.1.2.13",
		"sbin/useradd ← /usr/sbin/useradd", "x86_64-linux-gnu → lib/x86_64-linux-gnu",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("collected (-want +got):\n%s", d)
	}
	if want := (Skip{"/usr/bin/tr", "uses another program interpreter, /opt/other/ld.so"}); !slices.Contains(c.skipped, want) {
		t.Errorf("skipped: %v", c.skipped)
	}
	for name := range c.sources {
		if strings.Contains(name, "\n") {
			t.Errorf("%q would break the stamp", name)
		}
	}
}

func TestNoPrograms(t *testing.T) {
	for name, files := range map[string]tree{
		"empty":   {},
		"scripts": {"bin/sh": "#!/bin/x\n"},
		"foreign": {"bin/sh": string(tinyelf.File{Machine: 3}.Bytes())},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), Source{Root: files.make(t)}, Options{Cache: filepath.Join(t.TempDir(), "c")})
			if err == nil || !strings.Contains(err.Error(), ErrNoPrograms.Error()) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestLists(t *testing.T) {
	groups, err := parseGroups(programsText)
	if err != nil {
		t.Fatal(err)
	}
	programs := 0
	for _, g := range groups {
		programs += len(g.programs)
		if _, ok := families[g.identity]; g.identity != "" && !ok {
			t.Errorf("group %s: no family %s", g.name, g.identity)
		}
	}
	if programs < 500 {
		t.Errorf("only %d programs", programs)
	}
	for text, want := range map[string]string{
		"sh":          `line 1: "sh" is in no group`,
		"[]":          "line 1: group without a name",
		"[a b=c]\nsh": `line 1: unknown key "b"`,
	} {
		if _, err := parseGroups(text); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
