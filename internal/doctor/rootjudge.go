package doctor

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// Findings says what the facts mean for a run.
func (f RootFacts) Findings() []Finding {
	var all []Finding
	for _, judge := range []func() []Finding{
		f.systemFound, f.layoutFound, f.fileSystem, f.points, f.shell, f.tree, f.owners, f.overlayAttributes, f.whiteouts, f.locked,
		f.mounted, f.closed, f.shared, f.wide, f.preload, f.services, f.commands,
	} {
		all = append(all, judge()...)
	}
	return all
}

func (f RootFacts) systemFound() []Finding {
	runs := "dispatched here"
	if f.Native {
		runs = "this machine runs it itself"
	}
	text := fmt.Sprintf("%s, by %s; %s", f.Arch.Name, f.From, runs)
	if f.System != "" {
		text = quote(f.System) + " for " + text
	}
	if f.Other != "" {
		return bad(Fail, "system", "the root takes its CPU from the first: put the one that is wrong right", "%s, but %s is for another CPU, %s", text, f.Other, f.OtherArch.Name)
	}
	return ok("system", "%s", text)
}

// libraryName names a C library by its program interpreter.
func libraryName(loader string) string {
	base := path.Base(loader)
	switch {
	case loader == "":
		return "static programs"
	case strings.HasPrefix(base, "ld-musl"):
		return "musl"
	case strings.HasPrefix(base, "ld-uClibc"), strings.HasPrefix(base, "ld64-uClibc"):
		return "uClibc"
	}
	return "glibc"
}

func (f RootFacts) layoutFound() []Finding {
	text := libraryName(f.Loader)
	if f.Loader != "" {
		text += " (" + quote(f.Loader) + ")"
	}
	text += ", " + f.Merged + " /usr"
	if len(f.Triplets) > 0 {
		text += ", multiarch " + strings.Join(f.Triplets, " and ")
	}
	return ok("layout", "%s", text)
}

// fileSystem tells of the mount's flags those that people worry about. Only a read-only one matters: the run's own
// mount over it has none of the others.
func (f RootFacts) fileSystem() []Finding {
	name := "file system"
	m := f.Mount
	if m.Point == "" {
		return nil
	}
	flags := append(strings.Split(m.Flags, ","), strings.Split(m.Options, ",")...)
	if slices.Contains(flags, "ro") {
		return bad(Warn, name, "only --keep never works: changes can't be kept", "%s, mounted read-only on %s", m.Type, quote(m.Point))
	}
	text := fmt.Sprintf("%s, mounted on %s", m.Type, quote(m.Point))
	for _, flag := range []string{"noexec", "nosuid", "nodev"} {
		if slices.Contains(flags, flag) {
			text += ", " + flag + " (a run has its own mount without)"
		}
	}
	switch m.Type {
	case "overlay", "aufs", "fuse-overlayfs", "fuse.fuse-overlayfs":
		return bad(Warn, name, "changes are kept by copying instead of renaming; keep roots in a volume of the container", "%s", text)
	case "nfs", "nfs4", "9p", "cifs", "virtiofs":
		return bad(Warn, name, "owners and attributes may not be kept as they are: copy the root to a local disk", "%s", text)
	case "vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk":
		return bad(Fail, name, "it keeps no owners, modes and links: copy the root to ext4, xfs, btrfs or tmpfs", "%s", text)
	}
	return ok(name, "%s", text)
}

func (f RootFacts) points() []Finding {
	var all []Finding
	for _, name := range []string{protocol.HiddenDir, "/proc", "/dev"} {
		p := f.Points[name]
		switch {
		case p.Mode == unix.S_IFLNK && p.Loop:
			all = append(all, bad(Warn, name, "a run that keeps changes replaces it by a directory", "a symlink to itself")...)
		case p.Mode != 0 && p.Mode != unix.S_IFDIR:
			all = append(all, bad(Fail, name, "move it away: crossroot puts the run's own there", "%s, not a directory", fd.TypeName(p.Mode))...)
		case name == protocol.HiddenDir && p.Filled:
			all = append(all, bad(Fail, name, "move it away: crossroot puts the run's own there", "exists and is not empty")...)
		}
	}
	return all
}

func (f RootFacts) shell() []Finding {
	s := f.Shell
	name := "/bin/sh"
	if s.Loader != "" {
		return bad(Warn, name, "programs that need it run only where they run native", "its loader %s isn't there", quote(s.Loader))
	}
	if s.Err == nil {
		return nil
	}
	const remedy = "scripts and `crossroot shell` can't run until it is put right"
	if s.Missing {
		return bad(Warn, name, "only commands that need no shell can run", "there is none")
	}
	what := name
	if s.Interpreter != "" && s.Interpreter != name {
		what = "its interpreter " + quote(s.Interpreter)
	}
	switch {
	case errors.Is(s.Err, unix.ELOOP):
		return bad(Fail, name, remedy, "%s is a loop of symlinks", what)
	case errors.Is(s.Err, unix.ENOENT) && what == name:
		return bad(Fail, name, remedy, "a symlink to something that isn't there")
	case errors.Is(s.Err, unix.ENOENT):
		return bad(Fail, name, remedy, "%s isn't there", what)
	}
	return bad(Fail, name, remedy, "%s %v", what, s.Err)
}

func (f RootFacts) tree() []Finding {
	if f.Scan == nil {
		return bad(Warn, "tree", "", "%s", strings.Join(f.Errors, "; "))
	}
	s := f.Scan
	text := fmt.Sprintf("%d files, %d directories, %d symlinks, %d devices, %d FIFOs and sockets, in %.2f s",
		s.Files, s.Directories, s.Links, s.Devices, s.Others, s.Duration.Seconds())
	if s.Names > 0 {
		text += fmt.Sprintf("; %d names aren't UTF-8", s.Names)
	}
	return ok("tree", "%s", text)
}

// found makes a finding of a sample: "3, first /a (user 7)".
func (f RootFacts) found(level Level, name, remedy, what string, s func(*Scan) Sample) []Finding {
	if f.Scan == nil {
		return nil
	}
	sample := s(f.Scan)
	if sample.Count == 0 {
		return nil
	}
	text := fmt.Sprintf(what, sample.Count)
	if sample.Count == 1 {
		text += ": " + quote(string(sample.First))
	} else {
		text += ", first " + quote(string(sample.First))
	}
	if sample.Detail != "" {
		text += " (" + quote(sample.Detail) + ")"
	}
	return bad(level, name, remedy, "%s", text)
}

func (f RootFacts) owners() []Finding {
	return f.found(Fail, "owners", "such owners can't be kept: run crossroot as root, or chown them into the range (crossroot doctor shows it under ids)",
		"%d belong to ids that a run doesn't have", func(s *Scan) Sample { return s.Owners })
}

func (f RootFacts) overlayAttributes() []Finding {
	return append(f.found(Fail, "overlay marks", "an overlay takes them for its own and hides or refuses what bears them: setfattr -x NAME PATH",
		"%d bear user.overlay attributes", func(s *Scan) Sample { return s.Attributes }),
		f.found(Warn, "overlay marks", "a run neither sees nor keeps them: setfattr -x NAME PATH",
			"%d bear trusted.overlay attributes", func(s *Scan) Sample { return s.Trusted })...)
}

func (f RootFacts) whiteouts() []Finding {
	return f.found(Fail, "whiteouts", "an overlay takes them for deleted files: remove them",
		"%d character devices 0:0", func(s *Scan) Sample { return s.Whiteouts })
}

func (f RootFacts) locked() []Finding {
	return f.found(Warn, "chattr", "a run that changes one can't keep its changes: chattr -ia PATH",
		"%d immutable or append-only", func(s *Scan) Sample { return s.Locked })
}

func (f RootFacts) mounted() []Finding {
	return f.found(Warn, "mounts", "a run sees the directory below instead; what is mounted can be had with --bind",
		"%d mount points in it", func(s *Scan) Sample { return s.Mounts })
}

func (f RootFacts) closed() []Finding {
	return f.found(Warn, "unreadable", "what is in them was not looked at",
		"%d directories can't be read", func(s *Scan) Sample { return s.Closed })
}

func (f RootFacts) shared() []Finding {
	return f.found(Warn, "hard links", "a change inside is not seen under the names outside: commit replaces files",
		"%d files have further names outside of the root", func(s *Scan) Sample { return s.Shared })
}

func (f RootFacts) wide() []Finding {
	if f.Native || f.Arch.WordSize() != 32 {
		return nil
	}
	return f.found(Warn, "inode numbers", "emulated 32-bit programs may not see all of a directory: copy the root to a smaller file system",
		"%d need more than 32 bits", func(s *Scan) Sample { return s.Wide })
}

func (f RootFacts) preload() []Finding {
	if len(f.Preload) == 0 || f.Native {
		return nil
	}
	return bad(Warn, "ld.so.preload", "native programs run without; what depends on it needs `outcome = \"emulate\"` in a --policy",
		"/etc/ld.so.preload loads %s into every program", quote(f.Preload[0]))
}

func (f RootFacts) services() []Finding {
	var all []Finding
	for _, need := range []struct{ key, name, file string }{{"nss", "name services", "/etc/nsswitch.conf"}, {"pam", "PAM", "/etc/pam.d"}} {
		if module := f.Lacks[need.key]; module != "" {
			all = append(all, bad(Warn, need.name, "programs that need it are emulated; install it on this machine, or give --tools DIR",
				"%s asks for %s, which the tool root lacks", need.file, quote(module))...)
		}
	}
	return all
}

func (f RootFacts) commands() []Finding {
	name := "commands"
	switch {
	case errors.Is(f.AdvErr, toolroot.ErrNoPrograms):
		return nil // said of the machine
	case f.AdvErr != nil:
		return bad(Fail, name, "crossroot tools build shows more", "%v", f.AdvErr)
	case f.Programs == nil:
		return nil
	}
	p := f.Programs
	executables := 0
	for _, n := range p.Outcomes {
		executables += n
	}
	native := executables - p.Outcomes[policy.Emulate]
	text := fmt.Sprintf("of %d executables %d would run native (%d %%), %d emulated; %d scripts", executables,
		native, 100*native/max(executables, 1), p.Outcomes[policy.Emulate], p.Scripts)
	all := ok(name, "%s", text)
	if p.Helpless.Count > 0 {
		all = append(all, bad(Warn, name, "install qemu-user-static", "%d need an emulator for %s, and there is none: %s…",
			p.Helpless.Count, p.Helpless.Detail, quote(string(p.Helpless.First)))...)
	}
	if p.Broken.Count > 0 {
		all = append(all, bad(Warn, name, "crossroot explain ROOT PATH says more of others", "%d can't be executed: %s", p.Broken.Count, quote(p.Broken.Detail))...)
	}
	return all
}
