package toolroot

import (
	"path"
	"strings"

	"github.com/crossroot/crossroot/internal/relocate"
)

// addModules adds what is loaded by dlopen, and glibc's locale.
func (c *collection) addModules() {
	for _, pattern := range parseWords(librariesText) {
		if strings.HasPrefix(pattern, "/") {
			for _, name := range c.glob(pattern) {
				c.addModule(name, "")
			}
			continue
		}
		for _, dir := range c.search {
			for _, name := range c.glob(dir + "/" + pattern) {
				c.addModule(name, path.Join(c.libDir, path.Dir(pattern), path.Base(name)))
			}
		}
	}
	c.addLocale()
}

// addLocale adds the one locale that glibc is never without. Inside, glibc looks
// into /.cr/lib/locale, a link to /.cr/locale, which a sandbox may lead to the
// target's own locales where the C libraries are the same.
func (c *collection) addLocale() {
	const from = "/usr/lib/locale/"
	for _, pattern := range []string{"C.utf8/*", "C.utf8/LC_MESSAGES/*"} {
		for _, name := range c.glob(from + pattern) {
			if real, ok := c.resolve(name); ok {
				c.addDataAs(real, "locale/"+strings.TrimPrefix(name, from))
			}
		}
	}
	if !c.musl {
		c.addLink("lib/locale", hidden+"locale")
	}
}

// addModule adds a library under the name by which it will be looked for; ""
// is its own. The first of a name wins, as it does for the loader.
func (c *collection) addModule(name, as string) {
	real, ok := c.resolve(name)
	if !ok {
		return
	}
	if as == "" {
		as = real
	}
	dest := hiddenFile(as)
	if _, ok := c.byDest[dest]; ok {
		return
	}
	it, err := c.read(real)
	switch {
	case err == nil:
		it.kind, it.identity = libraryKind(real), familyOf(path.Base(real))
		c.place(it, dest)
	case !strings.Contains(path.Base(name), ".so"):
		c.addDataAs(real, dest)
	}
}

func libraryKind(real string) relocate.Kind {
	base := path.Base(real)
	switch {
	case strings.HasPrefix(base, "libperl.so"):
		return relocate.Perl
	case strings.HasPrefix(base, "libpython3."):
		return relocate.Python
	case base == "libc.so.6" || strings.HasPrefix(base, "libc-2."):
		return relocate.LibC
	}
	return relocate.Plain
}

// addDataAs adds a file that is copied as it is.
func (c *collection) addDataAs(real, dest string) {
	info, err := c.src.Stat(real)
	if err != nil || !info.Regular() || info.Size > largestFile {
		return
	}
	if _, taken := c.byDest[dest]; !taken {
		c.add(&item{real: real, info: info}, dest)
	}
}

// place adds a library; a second name of one that is there already becomes a
// link to it.
func (c *collection) place(it *item, dest string) {
	if old, ok := c.byReal[it.real]; ok && old.elf {
		c.addLink(dest, up(dest)+old.dest)
		return
	}
	c.add(it, dest)
}

// up is the way from a file to the top.
func up(dest string) string { return strings.Repeat("../", strings.Count(dest, "/")) }

// close adds the libraries that what is there needs, until nothing is missing.
func (c *collection) close() {
	for i := 0; i < len(c.items); i++ { // grows while it runs
		it := c.items[i]
		for _, name := range it.needed {
			c.addNeeded(it, name)
		}
	}
}

// addNeeded finds a library as the loader would for the object that needs it.
func (c *collection) addNeeded(by *item, name string) {
	if strings.Contains(name, "/") {
		c.addModule(name, "")
		return
	}
	if c.isLoader(name) {
		return
	}
	for _, dir := range by.runPath {
		real, ok := c.resolve(dir + "/" + name)
		if !ok || !isNative(c.src, real, c.host) {
			continue
		}
		as := dir + "/" + name
		if _, ok := relocate.HiddenDir(dir); !ok {
			as = c.libDir + "/" + name // its RUNPATH is made void
		}
		c.addInherited(by, as, dir+"/"+name)
		return
	}
	as := c.libDir + "/" + name
	if _, ok := c.byDest[hiddenFile(as)]; ok {
		return
	}
	for _, dir := range c.search {
		real, ok := c.resolve(dir + "/" + name)
		if ok && isNative(c.src, real, c.host) {
			c.watch(dir)
			c.addInherited(by, as, dir+"/"+name)
			return
		}
	}
	c.missing = append(c.missing, Skip{by.real, name})
}

// reportMissing reports the libraries that nobody brought along: one that the
// program itself loaded from a directory of its own serves its libraries too.
func (c *collection) reportMissing() {
	there := map[string]bool{}
	for dest := range c.byDest {
		there[path.Base(dest)] = true
	}
	for _, m := range c.missing {
		if !there[m.Reason] {
			c.skipped = append(c.skipped, Skip{m.Source, "needs " + m.Reason + ", which is missing"})
		}
	}
}

// addInherited adds a library. Unlike a RUNPATH, an RPATH holds for the
// libraries of the libraries too.
func (c *collection) addInherited(by *item, as, name string) {
	before := len(c.items)
	c.addModule(name, as)
	if len(c.items) > before && by.origin {
		it := c.items[before]
		it.runPath = append(it.runPath, by.runPath...)
		it.origin = true
	}
}

// isLoader: the loader is found by its name among what is loaded already; in
// musl that is the C library too.
func (c *collection) isLoader(name string) bool {
	return name == path.Base(c.loader) || c.musl && (strings.HasPrefix(name, "libc.musl-") || name == "libc.so")
}
