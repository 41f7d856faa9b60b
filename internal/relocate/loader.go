package relocate

import (
	"bytes"
	"path"
)

// systemDirectories rewrites where the dynamic loader of glibc looks, in the
// loader itself and in statically linked programs, which have a copy of it for
// NSS and gconv (elf/dl-load.c: system_dirs, elf/rtld.c: preload_file,
// sysdeps/generic/dl-cache.h: LD_SO_CACHE). Without that, code for the host's
// CPU which someone planted in the target would be loaded.
//
// Its directories are strings one after the other. A single "/lib/" may be
// anything in a static program, so only a row of at least two counts.
func (e *editor) systemDirectories(part extent, rules Rules) {
	e.replace(part, []replacement{
		{from: "/etc/ld.so.cache", to: "/.cr/ld.so.cache", whole: true},
		{from: "/etc/ld.so.preload", to: "/.cr/ld.so.preload", whole: true},
	})
	dirs := systemDirs(path.Base(rules.LibDir))
	for off := part.off; off < part.end; {
		row := e.row(part, off, dirs)
		if len(row) == 0 || len(row) == 1 && rules.Kind != Loader {
			off++
			continue
		}
		for _, d := range row {
			hidden, _ := HiddenDir(path.Clean(d))
			e.put(off, d, hidden+"/")
			off += len(d) + 1
		}
	}
}

// systemDirs are the directories that glibc is built with, on any system; base
// is the multiarch triplet.
func systemDirs(base string) []string {
	return []string{
		"/lib/" + base + "/", "/usr/lib/" + base + "/",
		"/lib/", "/usr/lib/", "/lib64/", "/usr/lib64/", "/lib32/", "/usr/lib32/",
	}
}

// row reads the directories that stand one after the other from off on.
func (e *editor) row(part extent, off int, dirs []string) (row []string) {
	if e.b[off] != '/' || !e.startsString(part, off) {
		return nil
	}
next:
	for {
		for _, d := range dirs {
			if off < part.end && bytes.HasPrefix(e.b[off:part.end], []byte(d+"\x00")) {
				row = append(row, d)
				off += len(d) + 1
				continue next
			}
		}
		return row
	}
}
