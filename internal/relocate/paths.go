package relocate

import (
	"bytes"
	"path"
	"slices"
	"strings"
)

// replacement is a rule for a path in a string.
type replacement struct {
	from, to string
	whole    bool // the string is this and nothing else; to may be shorter
	inside   bool // anywhere in the string
}

// HiddenDir is where a directory of the native system is found inside: /usr/lib
// and what is below it is /.cr/lib, /lib/x is /.cr/x, /lib64 is /.cr/L; all of
// the same length. ok is false for other directories.
func HiddenDir(dir string) (hidden string, ok bool) {
	switch {
	case dir == "/usr/lib" || dir == "/usr/libexec" || dir == "/usr/lib64" || dir == "/usr/lib32" ||
		strings.HasPrefix(dir, "/usr/lib/") || strings.HasPrefix(dir, "/usr/lib64/") ||
		strings.HasPrefix(dir, "/usr/lib32/") || strings.HasPrefix(dir, "/usr/libexec/"):
		return "/.cr" + dir[len("/usr"):], true
	case dir == "/lib64" || strings.HasPrefix(dir, "/lib64/"):
		return "/.cr/L" + dir[len("/lib64"):], true
	case dir == "/lib" || strings.HasPrefix(dir, "/lib/"):
		return "/.cr" + dir[len("/lib"):], true
	}
	return "", false
}

// modules are the directories of binary modules that lie below /usr/lib where
// that directory itself holds the libraries, and everything else with them.
var modules = []string{"gconv", "security", "ossl-modules", "engines-3", "engines-1.1", "perl5", "audit"}

// Modules are the directories below /usr/lib and /lib that are rewritten where
// /usr/lib itself is Rules.LibDir: /lib/security becomes /.cr/security.
func Modules() []string { return slices.Clone(modules) }

// pathRules are the rules for strings; interp is the file's own interpreter,
// which also stands as a plain string in libc and in the loader.
func pathRules(rules Rules, interp string) []replacement {
	var list []replacement
	prefix := func(from, to string) { list = append(list, replacement{from: from, to: to}) }
	whole := func(from, to string) { list = append(list, replacement{from: from, to: to, whole: true}) }
	switch base := path.Base(rules.LibDir); {
	case rules.LibDir == "/usr/lib" || rules.LibDir == "/lib":
		for _, m := range modules {
			prefix("/usr/lib/"+m, "/.cr/lib/"+m)
			prefix("/lib/"+m, "/.cr/"+m)
		}
	case rules.LibDir == "/usr/lib64" || rules.LibDir == "/lib64":
		prefix("/usr/lib64", "/.cr/lib64")
		prefix("/lib64", "/.cr/L")
	case rules.LibDir != "":
		prefix("/usr/lib/"+base, "/.cr/lib/"+base)
		prefix("/lib/"+base, "/.cr/"+base)
	}
	if interp != "" {
		whole(interp, LoaderPath)
	}
	switch rules.Kind {
	case LibC:
		prefix("/usr/lib/locale", "/.cr/lib/locale")
	case Loader:
		prefix("/lib:/usr/local/lib:/usr/lib", "/.cr:/.cr/local/lib:/.cr/lib") // musl
		list = append(list, replacement{from: "/etc/ld-musl-", to: "/.cr/ld-musl-", inside: true})
	case Perl:
		whole("/proc/self/exe", "/.cr/exe/perl")
		if rest, ok := strings.CutPrefix(rules.LibDir, "/usr/"); ok {
			prefix("/usr/local/"+rest+"/perl", "/.cr/local/"+rest+"/perl")
		}
	}
	return list
}

// replace applies the rules to the strings of one part of the file.
func (e *editor) replace(part extent, list []replacement) {
	for _, r := range list {
		for at := part.off; ; {
			i := bytes.Index(e.b[at:part.end], []byte(r.from))
			if i < 0 {
				break
			}
			at += i
			if e.matches(part, at, r) {
				e.put(at, r.from, r.to)
			}
			at += len(r.from)
		}
	}
}

// matches says whether the bytes at off are what the rule means: a whole path
// in a string that a NUL ends.
func (e *editor) matches(part extent, off int, r replacement) bool {
	end := off + len(r.from)
	switch {
	case r.inside:
		return e.ended(end, part.end)
	case r.whole:
		return e.startsString(part, off) && end < part.end && e.b[end] == 0
	}
	if !e.startsString(part, off) && !listSeparator(e.b[off-1]) {
		return false
	}
	return end < part.end && endsName(e.b[end]) && e.ended(end, part.end)
}

// startsString: what stands before is no text. A string that the linker merged
// into the tail of another has text before it; it starts a path only where
// that text is a list of paths (see listSeparator): "%s/usr/lib/…" is below
// some other root, and "see /usr/lib/…" is said to a person.
func (e *editor) startsString(part extent, off int) bool {
	return off == part.off || !printable(e.b[off-1])
}

// listSeparator: NAME=DIR:DIR.
func listSeparator(c byte) bool { return c == ':' || c == '=' }

// endsName: /usr/lib/x86_64-linux-gnu must not match …-gnux32.
func endsName(c byte) bool { return c == 0 || c == '/' || c == ':' }

// ended says whether only text comes from off up to a NUL before limit.
func (e *editor) ended(off, limit int) bool {
	const longest = 4096 // bytes
	for i := off; i < min(limit, off+longest); i++ {
		if e.b[i] == 0 {
			return true
		}
		if !printable(e.b[i]) {
			return false
		}
	}
	return false
}

func printable(c byte) bool { return c >= 0x20 && c < 0x7f || c == '\n' || c == '\t' }
