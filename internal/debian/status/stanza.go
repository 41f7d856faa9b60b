package status

import (
	"bytes"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/version"
)

// parseStanza reads the fields of a package (deb822(5)); line is the number of its first line.
func parseStanza(stanza []byte, line int) (Package, error) {
	var p Package
	first := line
	if len(stanza) > maxStanza {
		return p, syntax(line, "a stanza of more than %d bytes", maxStanza)
	}
	var seen [maxFields][]byte
	fields := 0
	for len(stanza) > 0 {
		var text []byte
		text, stanza, _ = bytes.Cut(stanza, []byte{'\n'})
		if len(text) == 0 {
			break // Parse cuts at empty lines
		}
		if bytes.IndexByte(text, 0) >= 0 {
			return p, syntax(line, "a NUL byte")
		}
		if text[0] == ' ' || text[0] == '\t' {
			if fields == 0 {
				return p, syntax(line, "a continuation of nothing")
			}
			line++
			continue
		}
		name, value, ok := bytes.Cut(text, []byte{':'})
		if !ok || !fieldName(name) {
			return p, syntax(line, "%.40q is no field", text)
		}
		if fields == maxFields {
			return p, syntax(line, "more than %d fields in a stanza", maxFields)
		}
		if slices.ContainsFunc(seen[:fields], func(s []byte) bool { return bytes.EqualFold(s, name) }) {
			return p, syntax(line, "field %s twice", name)
		}
		seen[fields] = name
		fields++
		if err := p.set(name, bytes.TrimSpace(value), line); err != nil {
			return p, err
		}
		line++
	}
	return p, p.complete(first)
}

// fieldName says whether it can name a field: printable, no blank, no # or - in front.
func fieldName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(name) > 0 && name[0] != '#' && name[0] != '-'
}

// set takes over a field that matters. Names of fields don't depend on case.
func (p *Package) set(name, value []byte, line int) error {
	switch len(name) {
	case 6, 7, 9, 10, 12:
	default:
		return nil
	}
	switch strings.ToLower(string(name)) {
	case "package":
		p.Name = string(value)
	case "version":
		p.Version = string(value)
	case "architecture":
		p.Architecture = string(value)
	case "multi-arch":
		p.MultiArch = string(value)
	case "essential":
		p.Essential = string(value) == "yes"
	case "status":
		return p.setStatus(string(value), line)
	case "source": // NAME, or NAME (VERSION)
		source, rest, ok := strings.Cut(string(value), " (")
		p.Source = source
		if ok {
			p.SourceVersion = strings.TrimSuffix(rest, ")")
		}
	}
	return nil
}

// The words of Status (dpkg(1), "information about packages"); the flag's last two are of old databases.
var (
	wants  = []string{"unknown", "install", "hold", "deinstall", "purge"}
	flags  = []string{"ok", "reinstreq", "hold", "hold-reinstreq"}
	states = []string{
		"not-installed", "config-files", "half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending",
		"installed",
	}
)

func (p *Package) setStatus(value string, line int) error {
	words := strings.Fields(value)
	if len(words) != 3 || !slices.Contains(wants, words[0]) || !slices.Contains(flags, words[1]) || !slices.Contains(states, words[2]) {
		return syntax(line, "%.60q is no package's status", value)
	}
	p.Want, p.Flag, p.State = words[0], words[1], words[2]
	return nil
}

// complete checks the stanza as a whole: name and version go into paths and requests.
func (p *Package) complete(line int) error {
	if !ValidName(p.Name) {
		return syntax(line, "%.60q is no package's name", p.Name)
	}
	if p.Version == "" {
		if p.HasFiles() {
			return syntax(line, "package %s has no version", p.Name)
		}
	} else if !version.Tolerable(p.Version) {
		return syntax(line, "package %s: %.60q is no version", p.Name, p.Version)
	}
	if p.Architecture != "" && !ValidArchitecture(p.Architecture) {
		return syntax(line, "package %s: %.60q is no architecture", p.Name, p.Architecture)
	}
	if p.Source == "" {
		p.Source = p.Name
	}
	if !ValidName(p.Source) {
		return syntax(line, "package %s: %.60q is no source package", p.Name, p.Source)
	}
	if p.SourceVersion == "" {
		p.SourceVersion = p.Version
	} else if !version.Tolerable(p.SourceVersion) {
		return syntax(line, "package %s: source: %.60q is no version", p.Name, p.SourceVersion)
	}
	return nil
}

// ValidName says whether dpkg takes it for a package's name: a letter or digit, then letters, digits and -+._; this
// refuses more than 200 bytes too, as no file could be named by it.
func ValidName(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; !alphanumeric(c) && (i == 0 || strings.IndexByte("-+._", c) < 0) {
			return false
		}
	}
	return name != "" && len(name) <= 200
}

// ValidArchitecture says whether it can be the name of an architecture: letters and digits, then also -. It may be empty.
func ValidArchitecture(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; !alphanumeric(c) && (i == 0 || c != '-') {
			return false
		}
	}
	return len(name) <= 100
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
