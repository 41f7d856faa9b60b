package audit

import (
	"path"
	"strings"

	"github.com/crossroot/crossroot/internal/tree"
)

// relative turns a path of a package into one relative to the root; ok is false for the root itself and for what climbs.
func relative(unsafePath string) (string, bool) {
	clean := path.Clean("/" + unsafePath)[1:]
	return clean, clean != "" && !strings.ContainsRune(clean, 0)
}

// md5sums reads the sums of a package, path → sum: lines of a sum, two blanks and a relative path.
func md5sums(text string) map[string]string {
	sums := map[string]string{}
	for line := range strings.Lines(text) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if name, inside := relative(name); ok && inside && isSum(sum) {
			sums[name] = sum
		}
	}
	return sums
}

// isSum says whether it is MD5 in lower-case hexadecimal digits.
func isSum(s string) bool { return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" }

// diversions reads dpkg's, path → where to and by which package (":" is the administrator): three lines each.
func diversions(text string) map[string][2]string {
	lines := strings.Split(text, "\n")
	found := map[string][2]string{}
	for ; len(lines) >= 3; lines = lines[3:] {
		from, ok := relative(lines[0])
		to, inside := relative(lines[1])
		if ok && inside {
			found[from] = [2]string{to, lines[2]}
		}
	}
	return found
}

// conffiles reads the sums of configuration files in a database of packages, package → path → sum.
func conffiles(text string) map[string]map[string]string {
	found := map[string]map[string]string{}
	name, inside := "", false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, " "); ok {
			if words := strings.Fields(rest); inside && len(words) >= 2 && isSum(words[1]) && !(len(words) > 2 && words[2] == "remove-on-upgrade") {
				if file, ok := relative(words[0]); ok {
					if found[name] == nil {
						found[name] = map[string]string{}
					}
					found[name][file] = words[1]
				}
			}
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		switch {
		case line == "":
			name, inside = "", false
		case strings.EqualFold(field, "Package"):
			name, inside = strings.TrimSpace(value), false
		default:
			inside = strings.EqualFold(field, "Conffiles") && name != ""
		}
	}
	return found
}

// resolver finds where paths lead in a tree, by the links that it has on the way: /bin/ls is usr/bin/ls.
type resolver struct {
	tree    *tree.Manifest
	known   map[string]string // directory → where it is
	through map[string]bool   // links followed
}

// maxLinks is the kernel's limit (path_resolution(7)).
const maxLinks = 40

// resolve follows the links on the way, not one at the end.
func (r *resolver) resolve(name string) string {
	dir, base := path.Split(name)
	return path.Join(r.directory(strings.TrimSuffix(dir, "/"), maxLinks), base)
}

// directory follows all links of a path; a loop stays as it is spelled.
func (r *resolver) directory(name string, links int) string {
	if real, ok := r.known[name]; ok {
		return real
	}
	dir, base := path.Split(name)
	real := path.Join(r.directory(strings.TrimSuffix(dir, "/"), links), base)
	if e, ok := r.tree.Lookup(real); ok && e.Type == tree.Symlink && links > 0 {
		r.through[real] = true
		to := e.Target
		if !strings.HasPrefix(to, "/") {
			to = path.Join(path.Dir("/"+real), to)
		}
		real = r.directory(path.Clean("/" + to)[1:], links-1)
	}
	r.known[name] = real
	return real
}
