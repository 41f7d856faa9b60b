package ldconfig

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/kernel/fd"
)

// Bounds for configuration: a file may include itself.
const (
	maxConfigFile  = 1 << 20 // bytes
	maxConfigFiles = 4096
	maxConfigDepth = 32
)

// parseConfig reads a file of directories.
func (r *run) parseConfig(name string, depth int) error {
	if r.files++; r.files > maxConfigFiles || depth > maxConfigDepth {
		return r.fatal(nil, "%s: configuration files include each other too often", name)
	}
	b, err := r.tree.ReadFile(name, maxConfigFile)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fd.ErrNotRegular):
		return nil
	case err != nil:
		r.warn(err, "Warning: ignoring configuration file that cannot be opened: %s", name)
		return nil
	}
	text := strings.TrimSuffix(string(b), "\n")
	if text == "" {
		return nil
	}
	for i, line := range strings.Split(text, "\n") {
		if err := r.configLine(name, i+1, line, depth); err != nil {
			return err
		}
	}
	return nil
}

func isBlank(s string, i int) bool { return i < len(s) && (s[i] == ' ' || s[i] == '\t') }

func (r *run) configLine(name string, number int, line string, depth int) error {
	if i := strings.IndexAny(line, "#\x00"); i >= 0 {
		line = line[:i]
	}
	line = strings.TrimLeft(line, " \t\n\v\f\r")
	switch {
	case line == "":
	case strings.HasPrefix(line, "include") && isBlank(line, 7):
		for _, pattern := range strings.FieldsFunc(line[8:], func(c rune) bool { return c == ' ' || c == '\t' }) {
			if err := r.include(name, pattern, depth); err != nil {
				return err
			}
		}
	case len(line) > 5 && strings.EqualFold(line[:5], "hwcap") && isBlank(line, 5):
		if r.facts.generator != "" {
			r.warn(nil, "%s:%d: hwcap directive ignored", name, number)
		}
	default:
		r.addDirectory(line, name, number)
	}
	return nil
}

// include reads the files that a pattern names, in the order of their names.
func (r *run) include(from, pattern string, depth int) error {
	if !strings.HasPrefix(pattern, "/") {
		if r.chroot != "" && strings.Trim(r.chroot, "/") != "" {
			return r.fatal(nil, "need absolute file name for configuration file when using -r")
		}
		if strings.Contains(from, "/") {
			pattern = path.Dir(from) + "/" + pattern
		}
	}
	for _, name := range r.glob(pattern) {
		if err := r.parseConfig(name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// glob expands a pattern as glob(3) does without flags: sorted by bytes, no
// hidden files unless the pattern starts with a dot.
func (r *run) glob(pattern string) []string {
	components := strings.Split(pattern, "/")
	names := []string{components[0]}
	for i, c := range components[1:] {
		last := i == len(components)-2
		var next []string
		for _, base := range names {
			next = append(next, r.globIn(base, c, last)...)
		}
		names = next
	}
	if len(components) == 1 {
		names = r.globIn(".", pattern, true)
		for i := range names {
			names[i] = strings.TrimPrefix(names[i], "./")
		}
	}
	slices.Sort(names)
	return names
}

// globIn gives base/name for each name in base that fits one component.
func (r *run) globIn(base, component string, last bool) []string {
	if component == "" {
		return []string{base + "/"}
	}
	base = strings.TrimSuffix(base, "/") + "/"
	if !strings.ContainsAny(component, `*?[\`) {
		if _, err := r.tree.Lstat(base + component); last && err != nil {
			return nil
		}
		return []string{base + component}
	}
	dir, err := r.tree.OpenDir(base)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxConfigFiles)
	if err != nil {
		return nil
	}
	var fit []string
	for _, name := range names {
		if fits(component, name) {
			fit = append(fit, base+name)
		}
	}
	return fit
}

// fits is fnmatch(3) for one component.
func fits(pattern, name string) bool {
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") {
		return false
	}
	ok, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), name)
	return err == nil && ok
}
