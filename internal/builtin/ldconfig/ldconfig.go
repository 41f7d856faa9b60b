// Package ldconfig does inside a foreign root what the root's own ldconfig
// would do: set the links that libraries are found by, write
// /etc/ld.so.cache. Emulated, that program is slow and known to crash.
//
// It promises the same cache and the same links, byte for byte, as the glibc
// that the root has (2.31 and later are known): it reads in the root's
// ldconfig what that one was built for. The root is taken for hostile: nothing
// outside of it is reached, FIFOs and devices are never opened, sizes are
// bounded.
//
// It must not know policy, nor how it came to be run.
package ldconfig

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/kernel/rootpath"
	"github.com/crossroot/crossroot/internal/ldcache"
)

// run is one invocation.
type run struct {
	options
	report
	tree  *rootpath.Root
	facts facts

	dirs    []*directory
	entries []ldcache.Entry
	subdirs []string // names of glibc-hwcaps subdirectories seen
	aux     *auxCache
	files   int // configuration files read
}

// errFatal ends a run whose reason has been reported.
var errFatal = errors.New("fatal")

// Main runs ldconfig with args, of which args[0] is the name used in messages,
// in the directory root ("" is "/"). It returns the exit status: 0, 1 when
// the work could not be done, 64 for wrong usage, all as the original does.
func Main(args []string, root string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		args = []string{"ldconfig"}
	}
	r := &run{report: newReport(args[0], stdout, stderr)}
	defer r.flush()
	var stop bool
	var status int
	if r.options, stop, status = parseOptions(args, r.report); stop && !r.showVersion {
		return status
	}
	var err error
	if r.tree, err = rootpath.Open(root); err != nil {
		r.warn(err, "Can't open %s", root)
		return 1
	}
	defer func() { r.tree.Close() }()
	if r.facts, err = readFacts(r.tree); err != nil {
		r.warn(nil, "%s", err)
		return 1
	}
	if r.showVersion {
		r.printf("ldconfig %s%s\n", r.facts.vendor, r.facts.version)
		return 0
	}
	if err := r.work(); err != nil {
		return 1
	}
	return 0
}

// work follows the order of the original: arguments are looked at before
// anything is read.
func (r *run) work() error {
	if err := r.changeRoot(); err != nil {
		return err
	}
	if !r.manual {
		for _, arg := range r.args {
			if r.build && !strings.HasPrefix(arg, "/") {
				return r.fatal(nil, "relative path `%s' used to build cache", arg)
			}
			r.addDirectory(arg, "<cmdline>", 0)
		}
	}
	switch {
	case r.print:
		return r.printCache()
	case r.manual:
		for _, library := range r.args {
			r.linkManually(library)
		}
		return nil
	}
	return r.update()
}

// update is the main job: directories, links, cache.
func (r *run) update() error {
	if !r.onlyArgs {
		if err := r.parseConfig(r.config, 0); err != nil {
			return err
		}
		for _, dir := range r.facts.systemDirs {
			r.addDirectory(dir, "<builtin>", 0)
		}
	}
	r.aux = r.loadAuxCache()
	for i := 0; i < len(r.dirs); i++ { // grows while it is read
		r.search(r.dirs[i])
	}
	if !r.build {
		return nil
	}
	if err := r.saveCache(); err != nil {
		return err
	}
	r.saveAuxCache()
	return nil
}

// changeRoot applies -r: what the target's ldconfig is was read before.
func (r *run) changeRoot() error {
	root := strings.TrimRight(r.chroot, "/")
	if root == "" {
		return nil
	}
	t, err := r.tree.Sub(root)
	if err != nil {
		// The original goes on without chroot, and finds nothing.
		return r.fatal(err, "Can't open cache file directory %s\n", path.Dir(r.cache))
	}
	r.tree.Close()
	r.tree = t
	return nil
}

// saveCache writes the cache beside its place and renames it.
func (r *run) saveCache() error {
	c := ldcache.Cache{
		Order:     r.facts.order,
		Format:    r.format(),
		Classic:   r.facts.generator == "",
		Unstated:  !r.facts.states,
		Generator: r.facts.generator,
		Entries:   r.entries,
		Unused:    r.subdirs,
	}
	b, err := c.Encode()
	if err != nil {
		return r.fatal(nil, "%s", err)
	}
	temp := r.cache + "~"
	f, err := r.tree.Create(temp, 0o600)
	if err != nil {
		return r.fatal(err, "Can't create temporary cache file %s", temp)
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return r.fatal(err, "Writing of cache data failed")
	}
	if err := f.Chmod(0o644); err != nil {
		return r.fatal(err, "Changing access rights of %s to %#o failed", temp, 0o644)
	}
	if err := f.Sync(); err != nil {
		return r.fatal(err, "Writing of cache data failed")
	}
	if err := r.tree.Rename(temp, path.Base(r.cache)); err != nil {
		return r.fatal(err, "Renaming of %s to %s failed", temp, r.cache)
	}
	return nil
}

func (r *run) format() ldcache.Format {
	switch r.formatName {
	case "old":
		return ldcache.Old
	case "compat":
		return ldcache.Compat
	case "new":
		return ldcache.New
	}
	if r.facts.compat {
		return ldcache.Compat
	}
	return ldcache.New
}

// addSubdir notes a glibc-hwcaps subdirectory, once.
func (r *run) addSubdir(name string) {
	if !slices.Contains(r.subdirs, name) {
		r.subdirs = append(r.subdirs, name)
	}
}

// fatal reports and gives errFatal.
func (r *run) fatal(err error, format string, args ...any) error {
	r.warn(err, "%s", fmt.Sprintf(format, args...))
	return errFatal
}
