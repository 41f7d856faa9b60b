package ldconfig

import (
	"path"
	"slices"
	"strings"
)

// setLink makes soname in dir a link to the file name, unless it leads there
// already, is no link, or belongs to a loader that Debian never touches.
func (r *run) setLink(dir, name, soname string) {
	fullName, fullSoname := dir+"/"+name, dir+"/"+soname
	link, remove := true, true
	if current, err := r.tree.Stat(fullSoname); err == nil {
		file, err := r.tree.Stat(fullName)
		if err != nil {
			r.warn(nil, "Can't stat %s\n", fullName)
			return
		}
		if slices.Contains(r.facts.ownLoaders, soname) {
			if r.verbose {
				r.warn(nil, "%s is the dynamic linker, ignoring\n", fullName)
			}
			link = false
		}
		if file.Same(current) {
			link = false
		} else if itself, err := r.tree.Lstat(fullSoname); err == nil && !itself.Symlink() {
			r.warn(nil, "%s is not a symbolic link\n", fullSoname)
			link, remove = false, false
		}
	} else if itself, err := r.tree.Lstat(fullSoname); err != nil || !itself.Symlink() {
		remove = false
	}
	if r.verbose {
		r.printf("\t%s -> %s", soname, name)
	}
	state := ""
	if link && r.link {
		state = " (SKIPPED)"
		if r.replace(fullSoname, name, remove) {
			state = " (changed)"
		}
	}
	if r.verbose {
		r.printf("%s\n", state)
	}
}

// replace removes an old link and makes the new one.
func (r *run) replace(fullSoname, target string, remove bool) bool {
	if remove {
		if err := r.tree.Unlink(fullSoname); err != nil {
			r.warn(nil, "Can't unlink %s", fullSoname)
			return false
		}
	}
	if err := r.tree.Symlink(target, fullSoname); err != nil {
		r.warn(nil, "Can't link %s to %s", fullSoname, target)
		return false
	}
	return true
}

// linkManually is -l: one library, its own link.
func (r *run) linkManually(file string) {
	dir, name := path.Split(file)
	switch {
	case dir == "":
		dir = "."
	case dir != "/":
		dir = strings.TrimSuffix(dir, "/")
	}
	info, err := r.tree.Lstat(file)
	if err != nil {
		r.warn(err, "Cannot lstat %s", file)
		return
	}
	if !info.Regular() {
		r.warn(nil, "Ignored file %s since it is not a regular file.", file)
		return
	}
	lib, _, ok := r.examine(file, false)
	if !ok {
		r.warn(nil, "No link created since soname could not be found for %s", file)
		return
	}
	soname := lib.soname
	if soname == "" {
		soname = name
	}
	r.setLink(dir, name, soname)
}
