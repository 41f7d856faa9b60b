package toolroot

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/relocate"
)

var perlRelease = regexp.MustCompile(`^/?(5\.[0-9]+\.[0-9]+)(/.*)?$`)

// addPerl finds the directories of @INC that depend on the CPU, which perl has
// compiled in, and adds the binary modules in them. Inside, each directory is
// a link into a tree that is made for each run (package perlfarm), in which
// the modules are the target's and only the binaries are from here.
func (c *collection) addPerl() {
	found := map[string]bool{}
	release := ""
	for _, it := range c.items {
		if it.kind != relocate.Perl {
			continue
		}
		image, done, err := openELF(c.src, it.real)
		if err != nil {
			continue
		}
		_ = image.Strings(func(_ int64, s string) bool {
			for dir := range strings.SplitSeq(s, ":") {
				if c.perlDir(dir) {
					found[dir] = true
				}
			}
			if m := perlRelease.FindStringSubmatch(s); m != nil && release == "" {
				release = m[1]
			}
			return true
		})
		done()
	}
	if len(found) == 0 {
		return
	}
	c.perl = &Perl{Version: release}
	dirs := make([]string, 0, len(found))
	for d := range found {
		dirs = append(dirs, d)
	}
	slices.Sort(dirs)
	for _, d := range dirs {
		c.addPerlDir(d)
	}
}

// perlDir says whether a string in perl is one of the directories.
func (c *collection) perlDir(s string) bool {
	rest, ok := strings.CutPrefix(s, c.libDir+"/perl")
	if !ok {
		rest, ok = strings.CutPrefix(s, "/usr/local"+strings.TrimPrefix(c.libDir, "/usr")+"/perl")
	}
	return ok && !strings.ContainsAny(rest, " %\n\t") && path.Clean(s) == s
}

func (c *collection) addPerlDir(dir string) {
	for _, other := range c.perl.Dirs {
		if strings.HasPrefix(dir, other.Source+"/") {
			return // below another one: comes with it
		}
	}
	farm := "local"
	if rest, ok := strings.CutPrefix(dir, c.libDir+"/"); ok {
		farm, _, _ = strings.Cut(rest, "/")
	}
	p := PerlDir{Source: dir, Farm: farm}
	if real, ok := c.resolve(dir); ok {
		for _, name := range c.sharedObjects(real, "auto", isXS) {
			it, err := c.read(path.Join(real, name))
			if err != nil {
				continue
			}
			c.place(it, path.Join(perlXS, farm, name))
			p.XS = append(p.XS, name)
		}
	}
	dest := hiddenFile(dir)
	if local, ok := strings.CutPrefix(dir, "/usr/local/"); ok {
		dest = "local/" + local
	}
	c.addLink(dest, hidden+"perl/"+farm)
	c.perl.Dirs = append(c.perl.Dirs, p)
}

func isXS(name string) bool { return strings.HasSuffix(name, ".so") }

// sharedObjects lists the files below top/dir whose names match, relative to top.
func (c *collection) sharedObjects(top, dir string, match func(name string) bool) []string {
	return c.objectsBelow(top, dir, 0, match)
}

func (c *collection) objectsBelow(top, dir string, depth int, match func(name string) bool) (found []string) {
	const deepest = 16
	c.watch(path.Join(top, dir))
	entries, err := c.src.ReadDir(path.Join(top, dir))
	if err != nil || depth > deepest {
		return nil
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case e.IsDir():
			if e.Name() != "__pycache__" {
				found = append(found, c.objectsBelow(top, name, depth+1, match)...)
			}
		case match(name) && e.Type().IsRegular():
			found = append(found, name)
		}
	}
	return found
}

// perlIndex adds what the package manager says of the shared objects.
func (b *builder) perlIndex() *Perl {
	if b.perl == nil {
		return nil
	}
	p := Perl{Version: b.perl.Version, Packages: map[string]string{}}
	for _, d := range b.perl.Dirs {
		d.Owners = map[string]string{}
		for _, xs := range d.XS {
			it := b.byDest[path.Join(perlXS, d.Farm, xs)]
			if own := b.owners[it.real]; own.name != "" {
				d.Owners[xs], p.Packages[own.name] = own.name, own.version
			}
		}
		p.Dirs = append(p.Dirs, d)
	}
	return &p
}
