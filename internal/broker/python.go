package broker

import (
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/relocate/dlshim"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// pythonState is the farm of python's binary modules for this run: below dlshim.Prefix, links under the names that they
// have in the target, to those of the tool root. What isn't there can't be loaded, so it is complete or python is
// emulated.
type pythonState struct {
	links map[string]string // path below dlshim.Prefix → where it leads
	err   error             // why python can't run natively
	ready bool
	watch *watch
}

// pythonCache is a directory of compiled modules, in which no binary ones are.
const pythonCache = "__pycache__"

const pythonPrefix = "python3."

// isPython reports whether a native program is python.
func isPython(native string) bool {
	return strings.HasPrefix(native, protocol.HiddenDir+"/") && strings.HasPrefix(path.Base(native), pythonPrefix)
}

// nativePython reports whether a decision may run python natively.
func nativePython(d policy.Decision) bool {
	return d.Outcome == policy.Native && isPython(d.Native) ||
		slices.ContainsFunc(d.ByArgs, func(c policy.ArgCase) bool { return nativePython(c.Then) })
}

// preparePython makes the farm, or changes it into what it must be by now; an error says why python can't run natively.
func (b *Broker) preparePython() error {
	if b.python.ready {
		return b.python.err
	}
	links, watched, err := b.planPython()
	if failed := b.watchPython(watched); err == nil {
		err = failed
	}
	if err == nil {
		err = b.linkPython(links)
	}
	b.python.ready, b.python.err = true, err
	return err
}

// expirePython makes the next execution of python decide anew.
func (b *Broker) expirePython() {
	if !b.python.ready {
		return
	}
	b.python.ready = false
	b.tally()
	for entry, d := range b.decisions {
		if !d.python {
			continue
		}
		delete(b.decisions, entry)
		// A process that is just now following the entry runs as was decided before.
		_ = os.RemoveAll(b.here(entry))
		_ = os.RemoveAll(b.here(entry + ".e"))
	}
}

// planPython lists the links of the farm for the modules that the target has now, and the directories to watch. An
// error says why python can't run natively.
func (b *Broker) planPython() (links map[string]string, watched []string, err error) {
	if b.Tools.Python == nil {
		return nil, nil, errors.New("the tool root has no modules for it")
	}
	modules, watched, err := b.pythonModules()
	if err != nil {
		return nil, watched, err
	}
	links, versions := map[string]string{}, map[string]string{}
	for _, m := range modules {
		source, err := b.nativeModule(m, versions)
		if err != nil {
			return nil, watched, err
		}
		links[m] = protocol.HiddenDir + "/python" + source
		// A python that is called by a name in /bin finds them in /lib.
		if top, _, ok := strings.Cut(strings.TrimPrefix(m, "/usr/lib/"), "/"); ok && strings.HasPrefix(m, "/usr/lib/") {
			links["/lib/"+top] = dlshim.Prefix + "/usr/lib/" + top
		}
	}
	// Libraries that a script opens by the target's path are the tool root's.
	for _, dir := range []string{"/usr/lib/", "/lib/"} {
		links[dir+b.Target.Triplet] = protocol.HiddenDir + strings.TrimPrefix(b.Tools.LibDir, "/usr")
	}
	return links, watched, nil
}

// linkPython changes the farm.
func (b *Broker) linkPython(links map[string]string) error {
	for name := range b.python.links {
		if links[name] != b.python.links[name] {
			if err := os.Remove(b.here(dlshim.Prefix + name)); err != nil {
				return err
			}
			delete(b.python.links, name)
		}
	}
	if b.python.links == nil {
		b.python.links = map[string]string{}
	}
	for name, to := range links {
		if b.python.links[name] == to {
			continue
		}
		if err := os.MkdirAll(b.here(path.Dir(dlshim.Prefix+name)), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(to, b.here(dlshim.Prefix+name)); err != nil {
			return err
		}
		b.python.links[name] = to
	}
	return nil
}

var (
	pythonLib     = regexp.MustCompile(`^python3(\.[0-9]+)?$`)
	pythonEnding  = regexp.MustCompile(`\.cpython-3[0-9]+[a-z]*-([A-Za-z0-9_-]+)\.so$`)
	pythonLibrary = regexp.MustCompile(`\.so(\.[0-9.]+)?$`)
)

// pythonModules lists the shared objects in the target's directories of modules, and the directories.
func (b *Broker) pythonModules() (modules, dirs []string, err error) {
	for _, lib := range []string{"/usr/lib", "/usr/local/lib"} {
		dirs = append(dirs, lib)
		names, err := fd.Readdirnames(b.Root, lib[1:])
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, dirs, err
		}
		for _, n := range names {
			if !pythonLib.MatchString(n) {
				continue
			}
			top := lib + "/" + n
			files, below, err := b.filesBelow(top, pythonLibrary.MatchString)
			dirs = append(dirs, below...)
			if err != nil {
				return nil, dirs, err
			}
			for _, f := range files {
				modules = append(modules, top+"/"+f)
			}
		}
	}
	slices.Sort(modules)
	return modules, dirs, nil
}

// nativeModule finds the tool root's module for the target's, of the same version; an error says why there is none.
// versions remembers the target's packages.
func (b *Broker) nativeModule(target string, versions map[string]string) (source string, err error) {
	source = target
	if m := pythonEnding.FindStringSubmatchIndex(target); m != nil {
		source = target[:m[2]] + path.Base(b.Tools.LibDir) + target[m[3]:]
	}
	i := slices.IndexFunc(b.Tools.Python.Modules, func(m toolroot.PythonModule) bool { return m.Source == source })
	if i < 0 {
		return "", fmt.Errorf("the tool root lacks the module %s", target)
	}
	m := b.Tools.Python.Modules[i]
	if m.Package == "" {
		return source, nil
	}
	version, known := versions[m.Package]
	if !known {
		version, _ = b.packageVersion(m.Package)
		versions[m.Package] = version
	}
	if !policy.SameUpstream(version, m.Version) {
		return "", fmt.Errorf("the target has version %s of %s, the tool root %s", version, m.Package, m.Version)
	}
	return source, nil
}
