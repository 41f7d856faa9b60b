// Package index looks packages up in a repository's index, Packages (Debian's RepositoryFormat; deb-control(5)).
//
// It promises that what it returns is safe to use as a file name and below the repository's URL, and that a package
// without a proper size and SHA256 is an error. It must not know where the index came from, nor whether it is signed.
package index

import (
	"fmt"
	"iter"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/deb822"
)

// Package is a package of a repository.
type Package struct {
	Name, Version, Arch string
	Source              string // name of the source package
	SourceVersion       string
	MultiArch           string // same, foreign, allowed, no, or empty
	Essential           bool
	Priority, Section   string
	Filename            string // below the repository's URL, as the index writes it: may have %XX
	Size                int64  // of the file, bytes
	SHA256              string // of the file, 64 lower-case hexadecimal digits
	InstalledSize       int64  // KiB, 0: unknown
	Depends, PreDepends string
	Provides            string
}

// Index is an index in memory. It is for any number of goroutines.
type Index struct {
	text   string
	byName map[string][]span
	names  []string
}

type span struct{ start, end, line int }

// mostPackages is ten times what the largest known repository has.
const mostPackages = 1 << 20

// Error is a mistake in a stanza of the index.
type Error struct {
	Line    int // from 1
	Package string
	Err     error
}

func (e *Error) Error() string {
	if e.Package == "" {
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("line %d: package %s: %v", e.Line, e.Package, e.Err)
}
func (e *Error) Unwrap() error { return e.Err }

// Parse finds the stanzas of an index. They are read when they are asked for. The error is an *Error.
func Parse(text string) (*Index, error) {
	x := &Index{text: text, byName: make(map[string][]span, len(text)/1500+1)}
	line := 1
	for at := 0; at < len(text); {
		if text[at] == '\n' {
			at++
			line++
			continue
		}
		end := len(text)
		if i := strings.Index(text[at:], "\n\n"); i >= 0 {
			end = at + i + 1
		}
		stanza := text[at:end]
		name, err := packageName(stanza)
		if err != nil {
			return nil, &Error{Line: line, Err: err}
		}
		if len(x.names) == mostPackages {
			return nil, &Error{Line: line, Err: fmt.Errorf("more than %d packages", mostPackages)}
		}
		x.names = append(x.names, name)
		x.byName[name] = append(x.byName[name], span{at, end, line})
		line += strings.Count(stanza, "\n")
		at = end
	}
	return x, nil
}

// packageName finds the field Package, which nearly always comes first.
func packageName(stanza string) (string, error) {
	for rest := stanza; rest != ""; {
		var l string
		l, rest, _ = strings.Cut(rest, "\n")
		if len(l) > 8 && strings.EqualFold(l[:8], "package:") {
			name := strings.Trim(l[8:], " \t")
			return name, CheckName(name)
		}
	}
	return "", fmt.Errorf("stanza has no field Package")
}

// Len is the number of packages, each version counted.
func (x *Index) Len() int { return len(x.names) }

// Find returns the versions of a package in the order of the index; none is no error. The error is an *Error.
func (x *Index) Find(name string) ([]Package, error) {
	var found []Package
	for _, s := range x.byName[name] {
		p, err := x.read(s)
		if err != nil {
			return nil, &Error{s.line, name, err}
		}
		found = append(found, p)
	}
	return found, nil
}

// All goes through all packages in the order of the index, until a mistake in one.
func (x *Index) All() iter.Seq2[Package, error] {
	return func(yield func(Package, error) bool) {
		next := map[string]int{}
		for _, name := range x.names {
			s := x.byName[name][next[name]]
			next[name]++
			p, err := x.read(s)
			if err != nil {
				err = &Error{s.line, name, err}
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

func (x *Index) read(s span) (Package, error) {
	stanza, err := deb822.Parse(x.text[s.start:s.end], s.line, deb822.Options{})
	if err != nil {
		return Package{}, err
	}
	return FromStanza(stanza)
}
