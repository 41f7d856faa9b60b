package standin

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/arch"
)

// Options of Root; the zero value makes a root without a package database: its programs run natively under near
// fidelity.
type Options struct {
	// Shell is what /bin/sh links to: "" is dash.
	Shell string
	// Packages is the package database, name → version. With the versions of the host's own packages (HostPackages)
	// exact fidelity runs the stand-ins natively too.
	Packages map[string]string
	// Programs are further executables, as absolute paths inside.
	Programs []string
	// Files are further files, absolute path inside → content; mode 0755 if the content begins with "#!".
	Files map[string]string
}

// Root makes a small root file system in dir, which must be empty or missing. All files belong to the caller, so that
// it works for root and for users. Times are those of the making.
func Root(dir string, a arch.Arch, o Options) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make root: %w", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		return fmt.Errorf("make root: %s is not an empty directory", dir)
	}
	b := builder{dir: dir, arch: a}
	b.directories()
	b.programs(o)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b.file(name, files[name])
	}
	b.mode("/etc/shadow", 0o640)
	if len(o.Packages) > 0 {
		b.file("/var/lib/dpkg/status", status(o.Packages, a))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Files)) {
		b.file(name, o.Files[name])
	}
	if b.err != nil {
		return fmt.Errorf("make root: %w", b.err)
	}
	return nil
}

// builder keeps the first error.
type builder struct {
	dir  string
	arch arch.Arch
	err  error
}

func (b *builder) do(err error) {
	if b.err == nil {
		b.err = err
	}
}

// at is the host's path of a path inside. The root is the caller's own work, with no links but its own.
func (b *builder) at(name string) string { return filepath.Join(b.dir, name) }

// mode sets a mode whatever the umask is.
func (b *builder) mode(name string, mode uint32) {
	m := os.FileMode(mode & 0o777)
	if mode&0o1000 != 0 {
		m |= os.ModeSticky
	}
	b.do(os.Chmod(b.at(name), m))
}

func (b *builder) directory(name string) {
	b.do(os.MkdirAll(b.at(name), 0o755))
	for p := name; p != "/"; p = path.Dir(p) {
		if info, err := os.Lstat(b.at(p)); err == nil && info.IsDir() && info.Mode()&os.ModeSticky == 0 && p != "/root" {
			b.mode(p, 0o755)
		}
	}
}

func (b *builder) link(name, target string) { b.do(os.Symlink(target, b.at(name))) }

func (b *builder) file(name, text string) {
	b.directory(path.Dir(name))
	b.do(os.WriteFile(b.at(name), []byte(text), 0o644))
	mode := uint32(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	b.mode(name, mode)
}

func (b *builder) directories() {
	b.mode("/", 0o755)
	for _, name := range strings.Fields(directories) {
		b.directory(name)
	}
	b.mode("/root", 0o700)
	b.mode("/tmp", 0o1777)
	b.mode("/var/tmp", 0o1777)
	for _, top := range []string{"bin", "sbin", "lib"} {
		b.link("/"+top, "usr/"+top)
	}
	b.link("/var/run", "/run")
	b.link("/var/lock", "/run/lock")
}

func (b *builder) programs(o Options) {
	p := Program{Arch: b.arch, Interp: glibcLoader(b.arch), Strings: []string{"a stand-in made by crossroot"}}
	put := func(name string) {
		b.directory(path.Dir(name))
		b.do(os.WriteFile(b.at(name), p.Bytes(), 0o755))
		b.mode(name, 0o755)
	}
	for _, name := range strings.Fields(userPrograms) {
		put("/usr/bin/" + name)
	}
	for _, name := range strings.Fields(systemPrograms) {
		put("/usr/sbin/" + name)
	}
	for name, to := range links {
		b.link(name, to)
	}
	b.link("/usr/bin/sh", cmp.Or(o.Shell, "dash"))
	for _, name := range o.Programs {
		put(name)
	}
}

// glibcLoader is the program interpreter of glibc on the architecture, "" where the table knows none.
func glibcLoader(a arch.Arch) string {
	for _, l := range a.Loaders {
		if base := path.Base(l); !strings.HasPrefix(base, "ld-musl") && !strings.Contains(base, "uClibc") {
			return l
		}
	}
	return ""
}

// status is dpkg's database (deb-status: stanzas of fields) for the packages.
func status(packages map[string]string, a arch.Arch) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		fmt.Fprintf(&b, "Package: %s\nStatus: install ok installed\nArchitecture: %s\nVersion: %s\n\n", name, a.Name, packages[name])
	}
	return b.String()
}

// HostPackages are the versions of this machine's own packages that have programs among the stand-ins: none on a
// machine without dpkg.
func HostPackages() map[string]string {
	text, err := os.ReadFile("/var/lib/dpkg/status")
	if err != nil {
		return nil
	}
	wanted := strings.Fields(packages)
	found := map[string]string{}
	name := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if v, ok := strings.CutPrefix(line, "Package: "); ok {
			name = v
		}
		if v, ok := strings.CutPrefix(line, "Version: "); ok && slices.Contains(wanted, name) {
			found[name] = v
		}
	}
	return found
}
