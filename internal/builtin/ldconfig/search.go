package ldconfig

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/kernel/rootpath"
	"github.com/crossroot/crossroot/internal/ldcache"
)

// found is a library of one directory: of several files with one soname the
// best.
type found struct {
	name   string // of the file
	soname string
	isLink bool
	library
}

// maxFiles bounds the entries that are read of one directory.
const maxFiles = 1 << 20

// search goes through one directory, sets its links and collects what belongs
// into the cache.
func (r *run) search(d *directory) {
	var hwcap uint64
	if d.subdir == "" {
		hwcap = r.facts.hwcap(d.path)
	}
	r.heading(d, hwcap)
	dir, err := r.tree.OpenDir(d.path)
	if err != nil {
		if r.verbose {
			r.warn(err, "Can't open directory %s", d.path)
		}
		return
	}
	defer dir.Close()
	var libs []*found
	bySoname := map[string]*found{}
	for n := 0; n < maxFiles; {
		names, err := dir.Readdirnames(1024)
		n += len(names)
		for _, name := range names {
			r.consider(d, dir, name, bySoname, &libs)
		}
		if err != nil { // io.EOF, or all that can be read
			break
		}
	}
	slices.Reverse(libs) // the last found comes first, as in the original
	for _, lib := range libs {
		r.use(d, lib, hwcap)
	}
}

// heading names the directory in verbose output.
func (r *run) heading(d *directory, hwcap uint64) {
	if !r.verbose {
		return
	}
	switch {
	case d.subdir != "":
		r.printf("%s: (hwcap: \"%s\")", d.path, d.subdir)
	case hwcap != 0:
		r.printf("%s: (hwcap: 0x%016x)", d.path, hwcap)
	default:
		r.printf("%s:", d.path)
	}
	if r.facts.places {
		r.printf(" (from %s:%d)", d.file, d.line)
	}
	r.printf("\n")
}

// use links a library and adds it to the cache. The cache names the link, so
// that it stays right when the file is replaced; below glibc-hwcaps there are
// no links.
func (r *run) use(d *directory, lib *found, hwcap uint64) {
	file := lib.soname
	if d.subdir != "" {
		if r.verbose {
			r.printf("\t%s -> %s\n", lib.soname, lib.name)
		}
		file = lib.name
	} else if !lib.isLink {
		r.setLink(d.path, lib.name, lib.soname)
	}
	if !r.build {
		return
	}
	r.entries = append(r.entries, ldcache.Entry{
		Name: lib.soname, Path: d.path + "/" + file, Flags: lib.flags, OSVersion: lib.osVersion,
		Hwcap: hwcap, Subdir: d.subdir, ISALevel: lib.isaLevel,
	})
}

// consider looks at one name of a directory.
func (r *run) consider(d *directory, dir *os.File, name string, bySoname map[string]*found, libs *[]*found) {
	feature := d.subdir == "" && r.facts.searched(name)
	named := r.facts.looksLikeLibrary(name)
	if !named && d.subdir == "" && !feature || r.facts.unfinished(name) {
		return
	}
	full := d.path + "/" + name
	info, err := rootpath.LstatAt(dir, name)
	if err != nil {
		return
	}
	if !info.Regular() && !info.Dir() && !info.Symlink() || !named && info.Regular() {
		return
	}
	isLink := info.Symlink()
	if isLink {
		if info, err = r.tree.Stat(full); err != nil {
			r.dangling(full, name, err)
			return
		}
	}
	switch {
	case feature && info.Dir():
		r.addOnce(&directory{path: full, flag: d.flag, inode: info, file: d.file, line: d.line}, false)
		return
	case !info.Regular() && !isLink:
		return
	}
	lib, ok := r.lookAt(full, info, isLink)
	if !ok {
		return
	}
	r.collect(d, &found{name: name, soname: cmp.Or(lib.soname, name), isLink: isLink, library: lib}, bySoname, libs)
}

// dangling removes a link that leads nowhere, if it looks like a library's.
func (r *run) dangling(full, name string, err error) {
	if r.verbose {
		r.warn(err, "Cannot stat %s", full)
	}
	if r.link && strings.Contains(name, ".so.") {
		_ = r.tree.Unlink(full) // what can't be removed does no harm
	}
}

// looksLikeLibrary goes by the name alone.
func (f facts) looksLikeLibrary(name string) bool {
	if (strings.HasPrefix(name, "lib") || strings.HasPrefix(name, "ld-")) && strings.Contains(name, ".so") {
		return true
	}
	return f.minor >= 34 && (strings.HasPrefix(name, "ld.so.") || strings.HasPrefix(name, "ld64.so."))
}

// unfinished: files that prelink, rpm or dpkg are about to rename.
func (f facts) unfinished(name string) bool {
	const mark, random = ".#prelink#", ".XXXXXX"
	if strings.HasSuffix(name, mark) {
		return true
	}
	if at := len(name) - len(mark) - len(random); at >= 0 && strings.HasPrefix(name[at:], mark+".") {
		return true
	}
	return f.skipsTemp && (strings.Contains(name, ";") || strings.HasSuffix(name, ".dpkg-new") || strings.HasSuffix(name, ".dpkg-tmp"))
}

// collect keeps the best file of each soname.
func (r *run) collect(d *directory, lib *found, bySoname map[string]*found, libs *[]*found) {
	if lib.isLink && !developmentLink(lib.name, lib.soname) {
		lib.isLink = false
	}
	if lib.isLink {
		lib.soname = lib.name
	}
	if lib.flags == ldcache.TypeELF && (d.flag == ldcache.TypeLibc5 || d.flag == ldcache.TypeLibc6) {
		lib.flags = d.flag
	}
	r.warnDirectory(d, lib)
	old, known := bySoname[lib.soname]
	if !known {
		bySoname[lib.soname] = lib
		*libs = append(*libs, lib)
		return
	}
	newer := !lib.isLink && old.isLink || lib.isLink == old.isLink && ldcache.CompareNames(old.name, lib.name) < 0
	if !newer {
		return
	}
	if old.flags != lib.flags {
		r.mixTypes(d, old, lib)
	}
	old.name, old.isLink, old.osVersion, old.isaLevel = lib.name, lib.isLink, lib.osVersion, lib.isaLevel
}

// developmentLink: libfoo.so.1 with that soname, or libfoo.so for the linker.
// Any other link counts as a file.
func developmentLink(name, soname string) bool {
	return name == soname || strings.HasSuffix(name, ".so") && strings.HasPrefix(soname, name)
}

// mixTypes: one soname, two types.
func (r *run) mixTypes(d *directory, old, lib *found) {
	isLibc := func(f uint32) bool { return f == ldcache.TypeLibc5 || f == ldcache.TypeLibc6 }
	switch {
	case r.facts.legacy && (old.flags == ldcache.TypeELF && isLibc(lib.flags) || isLibc(old.flags) && lib.flags == ldcache.TypeELF):
		old.flags = lib.flags
	default:
		r.warn(nil, "libraries %s and %s in directory %s have same soname but different type.", old.name, lib.name, d.path)
	}
}

// warnDirectory: a library in a directory that was declared to be for another
// type. libc4 libraries are not read at all.
func (r *run) warnDirectory(d *directory, lib *found) {
	if !r.verbose || d.flag == flagAny || d.flag == lib.flags {
		return
	}
	switch lib.flags {
	case ldcache.TypeLibc5:
		r.warn(nil, "libc5 library %s in wrong directory", d.path+"/"+lib.name)
	case ldcache.TypeLibc6:
		r.warn(nil, "libc6 library %s in wrong directory", d.path+"/"+lib.name)
	}
}
