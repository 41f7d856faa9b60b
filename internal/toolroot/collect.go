package toolroot

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/rootfs"
	"github.com/crossroot/crossroot/internal/relocate"
)

// item is a file that goes into the tool root.
type item struct {
	dest     string // relative: bin/dash
	link     string // if not "": a symbolic link to this
	content  []byte // if not nil: what the file holds, made by crossroot
	real     string // in the source, without links
	info     rootfs.Info
	elf      bool
	kind     relocate.Kind
	program  bool
	names    []string // paths in the source that lead to a program
	identity string   // family, see group
	static   bool
	interp   string // program interpreter
	buildID  string
	needed   []string
	origin   bool     // has an RPATH, not a RUNPATH: its libraries inherit it
	runPath  []string // directories in the source
}

// largestFile bounds what is read into memory; the largest libraries of
// distributions have some 150 MiB.
const largestFile = 1 << 30

// collection is everything that a tool root is made from.
type collection struct {
	layout
	src     *rootfs.Root
	items   []*item
	byDest  map[string]*item
	byReal  map[string]*item
	byInfo  map[rootfs.Info]*item  // finds hard links
	sources map[string]rootfs.Info // files and links that decide the content
	dirs    map[string]rootfs.Info // directories in which something may appear
	skipped []Skip
	missing []Skip // libraries: Source needs Reason
	perl    *Perl
	python  *Python
}

// collect finds all files: those of programs.list, or only one program's. It opens no file for more than its headers.
func collect(src *rootfs.Root, host arch.Arch, only string) (*collection, error) {
	l, err := findLayout(src, host)
	if err != nil {
		return nil, err
	}
	c := &collection{
		layout: l, src: src, byDest: map[string]*item{}, byReal: map[string]*item{}, byInfo: map[rootfs.Info]*item{},
		sources: map[string]rootfs.Info{}, dirs: map[string]rootfs.Info{},
	}
	groups := []group{{name: "only", programs: []string{only}}}
	if only == "" {
		if groups, err = parseGroups(programsText); err != nil {
			return nil, err
		}
	}
	if l.loader != "" {
		c.addLoader()
	}
	for _, g := range groups {
		for _, p := range g.programs {
			c.addNamed(g, p)
		}
	}
	if l.loader != "" {
		if only == "" {
			c.addModules()
			c.addPerl()
			c.addPython()
		}
		c.close()
		c.reportMissing()
		c.addLayoutLinks()
	}
	return c, nil
}

// resolve follows links and remembers what was passed. Names that a stamp
// can't hold are as good as missing.
func (c *collection) resolve(name string) (string, bool) {
	real, links, err := c.src.Resolve(name)
	if strings.Contains(real+strings.Join(links, ""), "\n") {
		return "", false
	}
	for _, l := range links {
		if info, err := c.src.Stat(l); err == nil {
			c.sources[l] = info
		}
	}
	return real, err == nil
}

// watch remembers a directory in which files may appear.
func (c *collection) watch(dir string) {
	real, ok := c.resolve(dir)
	if !ok {
		return
	}
	if info, err := c.src.Stat(real); err == nil && info.Dir() {
		c.dirs[real] = info
	}
}

// glob is glob that remembers the directory.
func (c *collection) glob(pattern string) []string {
	c.watch(path.Dir(pattern))
	return glob(c.src, pattern)
}

// addNamed adds the program or programs that an entry of programs.list means.
func (c *collection) addNamed(g group, entry string) {
	if strings.Contains(entry, "/") {
		for _, name := range c.glob(entry) {
			c.addProgram(g, name)
		}
		return
	}
	for _, dir := range c.binDirs {
		c.watch(dir)
		c.addProgram(g, dir+"/"+entry)
	}
}

// addProgram adds a program, or another name of one. Scripts and programs for
// other machines are passed over in silence.
func (c *collection) addProgram(g group, name string) {
	real, ok := c.resolve(name)
	if !ok {
		return
	}
	if it := c.known(real); it != nil {
		if it.program {
			it.names = append(it.names, name)
		}
		return
	}
	it, err := c.read(real)
	switch {
	case err != nil:
		if errors.Is(err, fs.ErrPermission) {
			c.skipped = append(c.skipped, Skip{real, "can't be read by this user"})
		}
		return
	case it.interp == "" && !it.static:
		return // a library
	case !it.static && it.interp != c.loader:
		c.skipped = append(c.skipped, Skip{real, "uses another program interpreter, " + it.interp})
		return
	}
	it.program, it.identity, it.names = true, g.identity, []string{name}
	if base := path.Base(real); strings.HasPrefix(base, "perl") {
		it.kind = relocate.Perl
	}
	c.add(it, hiddenFile(real))
}

// known finds a file by its path or, for hard links, by its inode.
func (c *collection) known(real string) *item {
	if it, ok := c.byReal[real]; ok {
		return it
	}
	info, err := c.src.Stat(real)
	if err != nil {
		return nil
	}
	return c.byInfo[info]
}

// read looks at a native ELF file of the source.
func (c *collection) read(real string) (*item, error) {
	image, done, err := openELF(c.src, real)
	if err != nil {
		return nil, err
	}
	defer done()
	if !native(image.Header, c.host) {
		return nil, elfimage.ErrNotELF
	}
	info, err := c.src.Stat(real)
	if err != nil {
		return nil, err
	}
	if info.Size > largestFile {
		return nil, fmt.Errorf("read %s: larger than %d MiB", c.src.HostPath(real), largestFile>>20)
	}
	it := &item{real: real, info: info, elf: true, buildID: image.BuildID(), needed: image.Needed()}
	it.static = len(it.needed) == 0 && image.Interp() == ""
	it.interp = image.Interp()
	paths := image.RunPath()
	if paths == "" {
		paths, it.origin = image.RPath(), true
	}
	for _, dir := range strings.Split(paths, ":") {
		dir = strings.NewReplacer("$ORIGIN", path.Dir(real), "${ORIGIN}", path.Dir(real)).Replace(dir)
		if strings.HasPrefix(dir, "/") && !strings.Contains(dir, "$") {
			it.runPath = append(it.runPath, path.Clean(dir))
		}
	}
	return it, nil
}

// add places an item. A name that is taken gets another place: its path in the
// tool root is told by the index, not derived.
func (c *collection) add(it *item, dest string) {
	if _, taken := c.byDest[dest]; taken {
		dest = path.Join("other", it.real)
		if _, taken := c.byDest[dest]; taken {
			return
		}
	}
	it.dest = dest
	c.items = append(c.items, it)
	c.byDest[dest] = it
	if _, ok := c.byReal[it.real]; !ok {
		c.byReal[it.real] = it
	}
	c.byInfo[it.info] = it
	c.sources[it.real] = it.info
}

// addLink adds a symbolic link.
func (c *collection) addLink(dest, target string) {
	if _, taken := c.byDest[dest]; taken {
		return
	}
	it := &item{dest: dest, link: target}
	c.items = append(c.items, it)
	c.byDest[dest] = it
}

// hiddenFile is where a file of the source lies in the tool root.
func hiddenFile(real string) string {
	dir := path.Dir(real)
	if h, ok := relocate.HiddenDir(dir); ok {
		switch h += "/"; {
		case strings.HasPrefix(real, "/lib64/"):
			return "lib64" + real[len("/lib64"):]
		case strings.HasPrefix(real, "/lib/"):
			return real[1:]
		default:
			return h[len(hidden):] + path.Base(real)
		}
	}
	switch dir {
	case "/usr/bin", "/bin":
		return "bin/" + path.Base(real)
	case "/usr/sbin", "/sbin":
		return "sbin/" + path.Base(real)
	}
	return "other" + real
}

// addLoader adds the program interpreter.
func (c *collection) addLoader() {
	real, ok := c.resolve(c.loader)
	if !ok {
		return
	}
	it, err := c.read(real)
	if err != nil {
		return
	}
	it.kind = relocate.Loader
	c.add(it, loaderName)
}

// addLayoutLinks makes the directories that rewriting turned /lib and /lib64
// into: /.cr/<triplet>, /.cr/L.
func (c *collection) addLayoutLinks() {
	switch base := path.Base(c.libDir); base {
	case "lib64":
		c.addLink("L", "lib64")
	case "lib":
		for _, m := range relocate.Modules() {
			if c.hasDir("lib/" + m) {
				c.addLink(m, "lib/"+m)
			}
		}
	default:
		c.addLink(base, "lib/"+base)
	}
}

func (c *collection) hasDir(dir string) bool {
	for dest := range c.byDest {
		if strings.HasPrefix(dest, dir+"/") {
			return true
		}
	}
	return false
}
