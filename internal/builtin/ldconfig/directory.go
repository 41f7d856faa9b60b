package ldconfig

import (
	"strings"

	"github.com/crossroot/crossroot/internal/kernel/rootpath"
	"github.com/crossroot/crossroot/internal/ldcache"
)

// flagAny is the type of a directory that any library may lie in.
const flagAny = ^uint32(0)

// directory is one that is searched, under the first of its names.
type directory struct {
	path   string
	flag   uint32 // a library type, or flagAny
	inode  rootpath.Info
	file   string // where it was named…
	line   int
	subdir string // its name below glibc-hwcaps, "" elsewhere
}

var libraryTypes = map[string]uint32{
	"libc4": ldcache.TypeLibc4, "libc5": ldcache.TypeLibc5, "libc6": ldcache.TypeLibc6, "glibc2": ldcache.TypeLibc6,
}

// addDirectory takes a directory as configuration or command line name it,
// with its glibc-hwcaps subdirectories.
func (r *run) addDirectory(line, file string, number int) {
	d := &directory{path: line, flag: flagAny, file: file, line: number}
	if r.facts.legacy {
		r.splitType(d)
	}
	d.path = strings.TrimRight(strings.TrimRight(d.path, " \t\n\v\f\r"), "/")
	if d.path == "" {
		return
	}
	info, err := r.tree.Stat(d.path)
	if err != nil {
		if r.verbose {
			r.warn(err, "Can't stat %s", d.path)
		}
		return
	}
	d.inode = info
	if r.addOnce(d, true) && r.facts.generator != "" {
		r.addHwcaps(d)
	}
}

// splitType takes the library type off "directory=type".
func (r *run) splitType(d *directory) {
	dir, name, found := strings.Cut(d.path, "=")
	if !found {
		return
	}
	d.path = dir
	if flag, ok := libraryTypes[name]; ok {
		d.flag = flag
		return
	}
	r.warn(nil, "%s is not a known library type", name)
}

// addOnce appends a directory unless it is there already; the new one's type
// counts then.
func (r *run) addOnce(d *directory, tell bool) bool {
	for _, old := range r.dirs {
		if !old.inode.Same(d.inode) {
			continue
		}
		if r.verbose && tell {
			r.warn(nil, "Path `%s' given more than once", d.path)
			if r.facts.places {
				r.note("(from %s:%d and %s:%d)\n", d.file, d.line, old.file, old.line)
			}
		}
		old.flag = d.flag
		return false
	}
	r.dirs = append(r.dirs, d)
	return true
}

// maxHwcaps bounds what a hostile root can make of glibc-hwcaps.
const maxHwcaps = 4096

func (r *run) addHwcaps(parent *directory) {
	below := parent.path + "/glibc-hwcaps"
	dir, err := r.tree.OpenDir(below)
	if err != nil {
		return
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxHwcaps)
	if err != nil {
		return
	}
	for _, name := range names {
		if strings.HasPrefix(name, ".") || strings.Contains(name, ":") {
			continue
		}
		info, err := r.tree.Stat(below + "/" + name)
		if err != nil || !info.Dir() {
			continue
		}
		r.addSubdir(name)
		r.addOnce(&directory{
			path: below + "/" + name, flag: parent.flag, inode: info, file: parent.file, line: parent.line, subdir: name,
		}, false)
	}
}
