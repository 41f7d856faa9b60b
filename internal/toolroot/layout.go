package toolroot

import (
	"debug/elf"
	"errors"
	"path"
	"strings"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/rootfs"
)

// ErrNoPrograms says that a source has no programs for this machine.
var ErrNoPrograms = errors.New("no programs for this machine")

// layout is the shape of a source: a distribution's decisions.
type layout struct {
	host    arch.Arch
	loader  string   // program interpreter as programs name it, "" if there is none
	musl    bool     //
	libDir  string   // /usr/lib/<triplet>, /usr/lib64 or /usr/lib
	search  []string // directories where the loader looks, in order
	binDirs []string // directories of programs
}

// findLayout looks at programs that every root has.
func findLayout(src *rootfs.Root, host arch.Arch) (layout, error) {
	l := layout{host: host, binDirs: []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin"}}
	found := false
	for _, name := range []string{"/bin/sh", "/usr/bin/env", "/bin/ls", "/bin/busybox", "/usr/bin/perl", "/usr/bin/dpkg", "/usr/bin/tar"} {
		real, _, err := src.Resolve(name)
		if err != nil {
			continue
		}
		image, done, err := openELF(src, real)
		if err != nil {
			continue
		}
		if native(image.Header, host) {
			found = true
			l.loader = image.Interp()
		}
		done()
		if l.loader != "" {
			break
		}
	}
	if !found {
		return layout{}, ErrNoPrograms
	}
	l.musl = strings.HasPrefix(path.Base(l.loader), "ld-musl-")
	l.findLibraries(src)
	return l, nil
}

// findLibraries finds where the C library lies and lists the loader's search
// path (ld.so(8), musl's dynlink.c).
func (l *layout) findLibraries(src *rootfs.Root) {
	triplet := l.host.Triplet
	dirs := []string{"/lib/" + triplet, "/usr/lib/" + triplet, "/lib64", "/usr/lib64", "/lib", "/usr/lib"}
	l.libDir = "/usr/lib"
	for _, d := range dirs {
		if l.musl {
			break
		}
		if real, _, err := src.Resolve(d + "/libc.so.6"); err == nil && isNative(src, real, l.host) {
			real = path.Dir(real)
			if !strings.HasPrefix(real, "/usr/") {
				real = "/usr" + real
			}
			l.libDir = real
			break
		}
	}
	if l.musl {
		l.search = []string{"/lib", "/usr/local/lib", "/usr/lib"}
		return
	}
	l.search = append(configured(src, "/etc/ld.so.conf", 0), dirs...)
}

// configured reads the directories of an ld.so.conf (ldconfig(8)): a directory
// a line, "include PATTERN", comments.
func configured(src *rootfs.Root, name string, depth int) (dirs []string) {
	const deepest, largest = 8, 64 << 10
	b, err := readSmall(src, name, largest)
	if err != nil || depth > deepest {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "hwcap":
		case words[0] == "include":
			for _, pattern := range words[1:] {
				if !strings.HasPrefix(pattern, "/") {
					pattern = path.Join(path.Dir(name), pattern)
				}
				for _, f := range glob(src, pattern) {
					dirs = append(dirs, configured(src, f, depth+1)...)
				}
			}
		case strings.HasPrefix(words[0], "/"):
			dirs = append(dirs, path.Clean(words[0]))
		}
	}
	return dirs
}

// native says whether a file is for the host itself, not merely runnable on it.
func native(h elfimage.Header, host arch.Arch) bool {
	return h.Machine == host.Machine && h.Class == host.Class && h.Data == host.Order &&
		(h.Type == elf.ET_EXEC || h.Type == elf.ET_DYN)
}

func isNative(src *rootfs.Root, real string, host arch.Arch) bool {
	f, err := src.Open(real)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	h, err := elfimage.ReadHeader(f)
	return err == nil && native(h, host)
}
