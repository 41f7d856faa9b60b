package toolroot

import (
	"path"
	"regexp"
	"strings"

	"github.com/crossroot/crossroot/internal/kernel/rootfs"
	"github.com/crossroot/crossroot/internal/relocate"
	"github.com/crossroot/crossroot/internal/relocate/dlshim"
)

// Python lists the binary modules for the python programs.
type Python struct {
	Modules []PythonModule `json:"modules"`
}

// PythonModule is a shared object below one of python's module directories.
type PythonModule struct {
	Source string `json:"source"` // in the source root; inside it is /.cr/python and this
	// Package and Version as the source's package manager has them.
	Package string `json:"package,omitempty"`
	Version string `json:"version,omitempty"`
}

const pythonDir = "python"

var pythonName = regexp.MustCompile(`^python3\.[0-9]+$`)

// addPython adds the pythons, the library that leads them to native modules
// (package dlshim), and these.
func (c *collection) addPython() {
	if c.musl || !dlshim.Supported(c.host.Machine) {
		return
	}
	g := group{name: "python", identity: "python"}
	dirs := []string{"/usr/lib/python3"}
	for _, name := range c.glob("/usr/bin/python3.*") {
		if !pythonName.MatchString(path.Base(name)) {
			continue
		}
		before := len(c.items)
		c.addProgram(g, name)
		if len(c.items) == before {
			continue
		}
		it := c.items[before]
		it.kind = relocate.Python
		if c.addShim(it) {
			dirs = append(dirs, "/usr/lib/"+path.Base(it.real))
		}
	}
	if len(dirs) == 1 {
		return
	}
	for _, link := range []string{"/usr/bin/python3", "/usr/bin/python"} {
		c.addProgram(g, link) // another name
	}
	c.python = &Python{}
	for _, dir := range dirs {
		c.addPythonModules(dir)
	}
}

// addShim adds the library that a python needs in place of its first one; ok is
// false where that has another form, which relocation will say again.
func (c *collection) addShim(python *item) bool {
	name, ok := relocate.Shim(python.needed)
	if !ok {
		return false
	}
	content, err := dlshim.Build(c.host.Machine, python.needed[0])
	if err != nil {
		return false
	}
	dest := hiddenFile(c.libDir + "/" + name)
	if _, taken := c.byDest[dest]; !taken {
		it := &item{dest: dest, content: content, info: rootfs.Info{Size: int64(len(content))}}
		c.items = append(c.items, it)
		c.byDest[dest] = it
	}
	return true
}

func (c *collection) addPythonModules(dir string) {
	real, ok := c.resolve(dir)
	if !ok {
		return
	}
	for _, name := range c.sharedObjects(real, ".", isPythonModule) {
		it, err := c.read(path.Join(real, name))
		if err != nil {
			continue
		}
		source := path.Join(dir, name)
		c.place(it, path.Join(pythonDir, source))
		c.python.Modules = append(c.python.Modules, PythonModule{Source: source})
	}
}

// isPythonModule: wheels bring libraries of their own along.
func isPythonModule(name string) bool {
	return strings.HasSuffix(name, ".so") || strings.Contains(path.Base(name), ".so.")
}

// pythonIndex completes the list with what the package manager says.
func (b *builder) pythonIndex() *Python {
	if b.python == nil {
		return nil
	}
	list := &Python{Modules: []PythonModule{}}
	for _, m := range b.python.Modules {
		own := b.owners[m.Source]
		m.Package, m.Version = own.name, own.version
		list.Modules = append(list.Modules, m)
	}
	return list
}
