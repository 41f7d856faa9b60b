package broker

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/perlfarm"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// perlState is the farm of perl's modules for this run (package perlfarm), made when perl is first dispatched and
// renewed when the target's module directories change.
type perlState struct {
	links   []perlfarm.Link
	ready   bool
	watch   *watch
	current string // the target's path of perl, for /.cr/exe/perl
}

const farmDir = protocol.HiddenDir + "/perl"

// isPerl reports whether a native program is perl, whose modules need the farm.
func (b *Broker) isPerl(native string) bool {
	return b.Tools != nil && b.Tools.Perl != nil && strings.HasPrefix(path.Base(native), "perl")
}

// preparePerl makes the farm and the link that gives $^X its value; an error says why perl can't run natively.
func (b *Broker) preparePerl(e *executable) error {
	exe := protocol.HiddenDir + "/exe/perl"
	if b.perl.current == "" {
		if err := os.Symlink(e.path, b.here(exe)); err != nil {
			return err
		}
		b.perl.current = e.path
	}
	if b.perl.ready {
		return nil
	}
	if err := b.renewPerl(); err != nil {
		return err
	}
	b.perl.ready = true
	return nil
}

// expirePerl makes the next execution of perl decide anew: the tool root lacks what the target has by now. A perl that
// runs keeps the farm as it is; what is missing there fails to load, as in a half-unpacked root.
func (b *Broker) expirePerl() {
	b.perl.ready = false
	b.tally()
	for entry, d := range b.decisions {
		if d.decision.Outcome == policy.Native && b.isPerl(d.decision.Native) {
			delete(b.decisions, entry)
			_ = os.RemoveAll(b.here(entry))
		}
	}
}

// renewPerl plans the farm for the modules that the target has now, and changes the farm into it.
func (b *Broker) renewPerl() error {
	if b.Tools == nil || b.Tools.Perl == nil {
		return nil
	}
	var dirs []perlfarm.Dir
	var watched []string
	for _, d := range b.Tools.Perl.Dirs {
		target := targetPerlDir(d, b.Tools, b.Target.Triplet)
		files, below, err := b.filesBelow(target, func(string) bool { return true })
		if err != nil {
			return err
		}
		watched = append(watched, below...)
		dirs = append(dirs, perlfarm.Dir{
			Name: d.Farm, Target: target, Files: files, XS: b.fittingXS(d),
			Objects: protocol.HiddenDir + "/perl-xs/" + d.Farm,
		})
	}
	links, missing := perlfarm.Plan(dirs)
	if len(missing) > 0 {
		return fmt.Errorf("the tool root lacks the module %s, or has another version (and %d more)", missing[0], len(missing)-1)
	}
	for _, d := range dirs {
		if err := os.MkdirAll(b.here(farmDir+"/"+d.Name), 0o755); err != nil {
			return err
		}
	}
	remove, add := perlfarm.Change(b.perl.links, links)
	for _, l := range remove {
		if err := os.Remove(b.here(farmDir + "/" + l.Path)); err != nil {
			return err
		}
	}
	for _, l := range add {
		name := b.here(farmDir + "/" + l.Path)
		if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(l.To, name); err != nil {
			return err
		}
	}
	b.perl.links = links
	return b.watchPerl(watched)
}

// targetPerlDir is where the target keeps what the tool root keeps in d: the same, with its own triplet.
func targetPerlDir(d toolroot.PerlDir, tools *toolroot.Index, triplet string) string {
	return strings.Replace(d.Source, path.Base(tools.LibDir), triplet, 1)
}

// maxModules bounds a farm: Debian's whole perl has some 2,000 files there.
const maxModules = 50000

// filesBelow lists what is in a directory of the target at any depth, but for directories and what isn't to be kept,
// relative to it, and the directories themselves (and the parent), for the watch.
func (b *Broker) filesBelow(dir string, keep func(name string) bool) (files, dirs []string, err error) {
	dirs = append(dirs, path.Dir(dir))
	var walk func(rel string, depth int) error
	walk = func(rel string, depth int) error {
		if depth > 32 || len(files) > maxModules {
			return fmt.Errorf("too many modules in %s", dir)
		}
		flags := unix.O_RDONLY | unix.O_DIRECTORY
		if rel != "" { // the directory itself is a symlink in Debian: 5.36 → 5.36.0
			flags |= unix.O_NOFOLLOW
		}
		d, err := fd.Open(b.Root, path.Join(dir, rel), flags, 0)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
			return nil
		}
		if err != nil {
			return err
		}
		defer d.Close()
		dirs = append(dirs, path.Join(dir, rel))
		entries, err := d.ReadDir(-1)
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := path.Join(rel, e.Name())
			if !keep(name) && !e.IsDir() || e.Name() == pythonCache {
				continue
			}
			if !e.IsDir() {
				files = append(files, name)
			} else if err := walk(name, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return files, dirs, walk("", 0)
}
