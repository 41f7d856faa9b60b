package toolroot

import (
	"debug/elf"
	"os"
	"path/filepath"
	"testing"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/relocate/tinyelf"
)

// The fake roots hold ELF files that look as on the machine's own CPU and
// can't run.

const (
	glibc64 = "/lib64/ld-linux-x86-64.so.2"
	muslLd  = "/lib/ld-musl-x86_64.so.1"
)

func hostMachine() elf.Machine { return arch.Host().Machine }

func program(interp string, needed ...string) string {
	return string(tinyelf.File{Machine: hostMachine(), Interp: interp, Needed: append(needed, "libc.so.6")}.Bytes())
}

func library(soname string, needed ...string) string {
	return string(tinyelf.File{Machine: hostMachine(), Soname: soname, Needed: needed}.Bytes())
}

// tree is a root: paths → contents; "-> x" is a link, "dir" an empty directory,
// "fifo" a pipe.
type tree map[string]string

func (files tree) make(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		files.put(t, root, name, content)
	}
	return root
}

func (tree) put(t *testing.T, root, name, content string) {
	t.Helper()
	full := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	switch {
	case len(content) > 3 && content[:3] == "-> ":
		err = os.Symlink(content[3:], full)
	case content == "dir":
		err = os.MkdirAll(full, 0o755)
	case content == "fifo":
		err = mkfifo(full)
	default:
		err = os.WriteFile(full, []byte(content), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// debian is a small merged-/usr, multiarch root. Triplets are those of amd64,
// whatever the machine: see onAMD64.
func debian() tree {
	return tree{
		"bin": "-> usr/bin", "sbin": "-> usr/sbin", "lib": "-> usr/lib", "lib64": "-> usr/lib64",
		"usr/lib64/ld-linux-x86-64.so.2":                "-> /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
		"usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": library("ld-linux-x86-64.so.2"),
		"usr/lib/x86_64-linux-gnu/libc.so.6":            library("libc.so.6"),
		"usr/lib/x86_64-linux-gnu/libz.so.1":            "-> libz.so.1.2.13",
		"usr/lib/x86_64-linux-gnu/libz.so.1.2.13":       library("libz.so.1", "libc.so.6"),
		"usr/bin/dash":         program(glibc64),
		"usr/bin/sh":           "-> dash",
		"usr/bin/dpkg":         string(tinyelf.File{Machine: hostMachine(), Interp: glibc64, Needed: []string{"libz.so.1"}, ROData: []byte("\x00amd64\x00")}.Bytes()),
		"usr/bin/awk":          "-> /etc/alternatives/awk",
		"etc/alternatives/awk": "-> /usr/bin/mawk",
		"usr/bin/mawk":         program(glibc64),
		"usr/bin/which":        "#!/bin/sh\n",
		"usr/sbin/useradd":     program(glibc64),
	}
}

// onAMD64 skips what is written for one CPU's names.
func onAMD64(t *testing.T) {
	t.Helper()
	if arch.Host().Name != "amd64" {
		t.Skip("the fake root has the names of amd64")
	}
}
