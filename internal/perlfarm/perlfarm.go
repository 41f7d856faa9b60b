// Package perlfarm plans the directories in which a native perl finds its
// modules inside a foreign root: each module is the target's own, so that
// nothing is lent and %Config describes the target; only the shared objects,
// which must run in the native perl, are the tool root's.
//
// It is pure: lists of files in, a list of symbolic links out. It must not know
// where the links are made, or what perl does with them.
package perlfarm

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// Dir is one directory of @INC that depends on the CPU.
type Dir struct {
	Name   string   // in the farm: perl-base
	Target string   // in the target root: /usr/lib/arm-linux-gnueabihf/perl-base
	Files  []string // what is in Target at any depth, relative, but for directories
	// XS are the shared objects that the tool root has for the directory,
	// relative: auto/POSIX/POSIX.so.
	XS []string
	// Objects is where these are inside: /.cr/perl-xs/perl-base.
	Objects string
}

// Link is a symbolic link of the farm.
type Link struct {
	Path string // relative to the farm: perl-base/auto/POSIX/POSIX.so
	To   string // absolute, as seen inside
}

// Plan lists the links, sorted by path. missing are the target's shared objects
// that the tool root lacks: with any of them, this perl is no substitute for
// the target's. An object is looked for in the same directory first, then in
// the others, since modules move from perl to perl-base and back.
//
// A directory of the target without shared objects below it is one link, so
// that what a package adds to it later is seen at once.
func Plan(dirs []Dir) (links []Link, missing []string) {
	elsewhere := map[string]string{}
	for _, d := range slices.Backward(dirs) {
		for _, xs := range d.XS {
			elsewhere[xs] = path.Join(d.Objects, xs)
		}
	}
	for _, d := range dirs {
		own := make(map[string]bool, len(d.XS))
		for _, xs := range d.XS {
			own[xs] = true
		}
		mixed := mixedDirs(d.Files)
		done := map[string]bool{}
		for _, f := range d.Files {
			l := Link{Path: path.Join(d.Name, f), To: path.Join(d.Target, f)}
			switch {
			case !inside(f):
				continue
			case !isObject(f):
				whole := wholeDir(f, mixed)
				if done[whole] {
					continue
				}
				done[whole] = true
				l = Link{Path: path.Join(d.Name, whole), To: path.Join(d.Target, whole)}
			case own[f]:
				l.To = path.Join(d.Objects, f)
			case elsewhere[f] != "":
				l.To = elsewhere[f]
			default:
				missing = append(missing, path.Join(d.Target, f))
				continue
			}
			links = append(links, l)
		}
	}
	slices.SortFunc(links, func(a, b Link) int { return cmp.Compare(a.Path, b.Path) })
	links = slices.CompactFunc(links, func(a, b Link) bool { return a.Path == b.Path })
	return links, missing
}

// Change compares two plans, each sorted by path, and lists the links to
// remove and to make, for a target whose modules change during a run. A link
// may have to give way to a directory: remove first, in the order given.
func Change(before, after []Link) (remove, add []Link) {
	old := make(map[Link]bool, len(before))
	for _, l := range before {
		old[l] = true
	}
	for _, l := range after {
		if !old[l] {
			add = append(add, l)
		}
		delete(old, l)
	}
	for _, l := range before {
		if old[l] {
			remove = append(remove, l)
		}
	}
	return remove, add
}

// isObject: XSLoader and DynaLoader look for auto/NAME/…/LAST.so.
func isObject(f string) bool {
	return strings.HasPrefix(f, "auto/") && strings.HasSuffix(f, ".so")
}

// inside refuses names that lead out of the directory.
func inside(f string) bool {
	return f != "" && f != "." && !path.IsAbs(f) && path.Clean(f) == f && f != ".." && !strings.HasPrefix(f, "../")
}

// mixedDirs are the directories with shared objects somewhere below: those are
// directories of the farm too.
func mixedDirs(files []string) map[string]bool {
	mixed := map[string]bool{".": true}
	for _, f := range files {
		if !isObject(f) {
			continue
		}
		for d := path.Dir(f); !mixed[d]; d = path.Dir(d) {
			mixed[d] = true
		}
	}
	return mixed
}

// wholeDir is the outermost directory above f that can be one link, or f.
func wholeDir(f string, mixed map[string]bool) string {
	whole := f
	for d := path.Dir(f); !mixed[d]; d = path.Dir(d) {
		whole = d
	}
	return whole
}
