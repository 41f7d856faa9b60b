package doctor

import (
	"context"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
)

// RootFacts are what was found in a root.
type RootFacts struct {
	Path   string
	Arch   arch.Arch
	Native bool // this machine runs it itself
	From   string
	System string // PRETTY_NAME of os-release

	Other     string // an executable that contradicts From, "" if none does
	OtherArch arch.Arch

	Loader   string   // program interpreter of From, "" when it is static
	Merged   string   // "merged", "split" or "partly merged" /usr
	Triplets []string // multiarch directories

	Mount  mountPoint
	Points map[string]PointFact // what a run mounts on
	Shell  ShellFact
	Scan   *Scan
	Errors []string

	Preload  []string          // of /etc/ld.so.preload
	Lacks    map[string]string // modules that the tool root lacks
	Programs *Programs
	AdvErr   error // the tool root
}

// PointFact is what a root has where a run mounts something.
type PointFact struct {
	Mode   uint32 // type bits; 0: nothing
	Loop   bool   // a symlink to itself
	Filled bool   // a directory with something in it
}

// Examine looks at a root. Options as for a run; the tool root is built if there is none.
func Examine(ctx context.Context, root *session.Root, o session.Options) RootFacts {
	f := look(root)
	if f.Native {
		return f
	}
	b, done, err := session.Advise(ctx, root, o)
	if err != nil {
		f.AdvErr = err
		return f
	}
	defer done()
	f.Lacks = b.Lacks()
	f.Programs = commands(b, root.Dir)
	return f
}

// look finds out what needs no tool root.
func look(root *session.Root) RootFacts {
	f := RootFacts{Path: root.Path, Arch: root.Arch, From: root.From, Native: root.Arch.RunsNativelyOn(arch.Host()), Points: map[string]PointFact{}}
	f.system(root.Dir)
	f.contradict(root)
	f.layout(root)
	f.Mount, _ = mountOf(root.Dir)
	for _, name := range []string{protocol.HiddenDir, "/proc", "/dev"} {
		f.Points[name] = point(root.Dir, name)
	}
	f.Shell = shell(root)
	scan, err := scanTree(root.Dir, userns.ReadCaller())
	if err != nil {
		f.Errors = append(f.Errors, err.Error())
	}
	f.Scan = scan
	if text, err := fd.ReadFile(root.Dir, "etc/ld.so.preload", limitText); err == nil {
		f.Preload = strings.Fields(strings.ReplaceAll(string(text), ":", " "))
	}
	return f
}

// limitText bounds the configuration that is read from a root.
const limitText = 64 << 10

// system reads the name of the system (os-release(5)).
func (f *RootFacts) system(dir *os.File) {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		text, err := fd.ReadFile(dir, name, limitText)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
				f.System = strings.Trim(value, `"'`)
				return
			}
		}
	}
}

// contradict looks whether the programs that every root has are all for one CPU.
func (f *RootFacts) contradict(root *session.Root) {
	for _, name := range []string{"/bin/sh", "/bin/busybox", "/bin/ls", "/usr/bin/env", "/usr/bin/dpkg", "/bin/tar"} {
		a, err := session.Identify(root.Dir, name)
		if err == nil && a.Name != root.Arch.Name && !a.RunsNativelyOn(root.Arch) {
			f.Other, f.OtherArch = name, a
			return
		}
	}
}

// layout finds out how the distribution lays its files out.
func (f *RootFacts) layout(root *session.Root) {
	if file, err := fd.OpenRegular(root.Dir, root.From); err == nil {
		defer file.Close()
		if info, err := file.Stat(); err == nil {
			if image, err := elfimage.Open(file, info.Size()); err == nil {
				f.Loader = image.Interp()
			}
		}
	}
	merged, split := 0, 0
	for _, name := range []string{"bin", "sbin", "lib"} {
		st, err := fd.Lstat(root.Dir, name)
		switch {
		case err != nil:
		case st.Mode&unix.S_IFMT == unix.S_IFLNK:
			merged++
		default:
			split++
		}
	}
	f.Merged = "partly merged"
	if split == 0 {
		f.Merged = "merged"
	} else if merged == 0 {
		f.Merged = "split"
	}
	for _, a := range arch.All() {
		for _, dir := range []string{"usr/lib/", "lib/"} {
			if st, err := fd.Lstat(root.Dir, dir+a.Triplet); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
				f.Triplets = append(f.Triplets, a.Triplet)
				break
			}
		}
	}
}

// point looks at what is called name at the top of the root.
func point(dir *os.File, name string) PointFact {
	st, err := fd.Lstat(dir, name)
	if err != nil {
		return PointFact{}
	}
	p := PointFact{Mode: st.Mode & unix.S_IFMT}
	switch p.Mode {
	case unix.S_IFLNK:
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(int(dir.Fd()), name[1:], buf)
		p.Loop = err == nil && string(buf[:n]) == name
	case unix.S_IFDIR:
		names, err := fd.Readdirnames(dir, name)
		p.Filled = err != nil || len(names) > 0
	}
	return p
}
