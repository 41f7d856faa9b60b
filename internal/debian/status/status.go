// Package status reads dpkg's database of installed packages: the text of var/lib/dpkg/status and of the files in
// var/lib/dpkg/updates that dpkg has not yet merged into it.
//
// It promises to take no database for good that dpkg would refuse, to find a single package without reading the rest,
// and bounded work on hostile text. It must not know how the files are read, nor what the versions are compared with.
package status

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits of what a database may hold; real ones stay far below.
const (
	LargestFile = 64 << 20 // for those who read the files, bytes
	maxStanza   = 4 << 20  // bytes
	maxFields   = 200      // of a stanza
)

// ErrSyntax is what errors wrap when a text is no database; they name the line.
var ErrSyntax = errors.New("not a dpkg database")

// Package is what the database says of a package.
type Package struct {
	Name, Version, Architecture string
	// Want, Flag and State are the words of Status, such as install ok installed; all empty if there is none.
	Want, Flag, State string
	MultiArch         string // same, foreign, allowed, no, or ""
	// Source and SourceVersion are Name and Version where the database doesn't say otherwise.
	Source, SourceVersion string
	Essential             bool
}

// HasFiles says whether the package's files are there, be it configured or not.
func (p Package) HasFiles() bool {
	return p.State != "" && p.State != "not-installed" && p.State != "config-files"
}

// Parse reads a database, one Package a stanza, in the file's order.
func Parse(text []byte) ([]Package, error) {
	packages := make([]Package, 0, bytes.Count(text, []byte("\nPackage:"))+1)
	line := 1
	for len(text) > 0 {
		if text[0] == '\n' {
			text, line = text[1:], line+1
			continue
		}
		stanza := text
		if end := bytes.Index(text, []byte("\n\n")); end >= 0 {
			stanza = text[:end+1]
		}
		p, err := parseStanza(stanza, line)
		if err != nil {
			return nil, err
		}
		packages = append(packages, p)
		line += bytes.Count(stanza, []byte("\n"))
		text = text[len(stanza):]
	}
	return packages, nil
}

// Lookup finds a package by its name without reading the whole database; ok is false when it isn't there or its stanza
// is broken. Of several, for several architectures, it is the first whose files are there.
func Lookup(text []byte, name string) (p Package, ok bool) {
	field := []byte("Package: " + name + "\n")
	for from := 0; ; {
		at := bytes.Index(text[from:], field)
		if at < 0 {
			return p, ok
		}
		at += from
		from = at + len(field)
		if at > 0 && text[at-1] != '\n' {
			continue
		}
		start := bytes.LastIndex(text[:at], []byte("\n\n"))
		stanza := bytes.TrimLeft(text[max(start, 0):], "\n")
		if end := bytes.Index(stanza, []byte("\n\n")); end >= 0 {
			stanza = stanza[:end+1]
		}
		found, err := parseStanza(stanza, 1)
		if err != nil || found.Name != name {
			continue
		}
		if found.HasFiles() {
			return found, true
		}
		if !ok {
			p, ok = found, true
		}
	}
}

// Updates picks those names of var/lib/dpkg/updates that dpkg would read (digits only), in its order.
func Updates(names []string) []string {
	var list []string
	for _, n := range names {
		if n != "" && strings.Trim(n, "0123456789") == "" {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	return list
}

// Merge lays updates over a database: the later stanza of a package and architecture replaces the earlier one.
func Merge(database []Package, updates ...[]Package) []Package {
	type key struct{ name, arch string }
	at := make(map[key]int, len(database))
	var merged []Package
	for _, list := range append([][]Package{database}, updates...) {
		for _, p := range list {
			k := key{p.Name, p.Architecture}
			if i, ok := at[k]; ok {
				merged[i] = p
				continue
			}
			at[k] = len(merged)
			merged = append(merged, p)
		}
	}
	return merged
}

func syntax(line int, format string, args ...any) error {
	return fmt.Errorf("%w: line %d: %s", ErrSyntax, line, fmt.Sprintf(format, args...))
}
