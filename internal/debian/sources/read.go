package sources

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/deb822"
)

// Parse reads a file by its name's ending, .list or .sources. The error is an *Error.
func Parse(file string, data []byte) ([]Source, error) {
	if strings.HasSuffix(file, ".sources") {
		return parseStanzas(file, data)
	}
	return parseLines(file, data)
}

func parseLines(file string, data []byte) (all []Source, err error) {
	n := 0
	for line := range strings.SplitSeq(string(data), "\n") {
		n++
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		kind, rest := cutWord(line)
		s := Source{File: file, Line: n}
		switch kind {
		case "deb-src":
			continue
		case "deb":
			err = s.parseLine(rest)
		default:
			err = fmt.Errorf("unknown type %q", kind)
		}
		if err == nil && len(all) == most {
			err = fmt.Errorf("more than %d sources", most)
		}
		if err != nil {
			return nil, &Error{file, n, err}
		}
		all = append(all, s)
	}
	return all, nil
}

// parseLine reads what follows "deb".
func (s *Source) parseLine(rest string) error {
	if after, ok := strings.CutPrefix(rest, "["); ok {
		options, after, ok := strings.Cut(after, "]")
		if !ok {
			return errors.New("no ] after the options")
		}
		rest = strings.TrimSpace(after)
		for o := range strings.FieldsSeq(options) {
			name, value, ok := strings.Cut(o, "=")
			if !ok {
				return fmt.Errorf("option %q has no value", o)
			}
			if err := s.set(strings.ToLower(name), value); err != nil {
				return err
			}
		}
	}
	s.URI, rest = cutWord(rest)
	s.Suite, rest = cutWord(rest)
	s.Components = strings.Fields(rest)
	return s.check()
}

func cutWord(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}

func parseStanzas(file string, data []byte) (all []Source, err error) {
	r := deb822.NewReader(bytes.NewReader(data), deb822.Options{Handwritten: true})
	for {
		stanza, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		var mistake *deb822.Error
		if errors.As(err, &mistake) {
			return nil, &Error{file, mistake.Line, mistake.Err}
		}
		if err != nil {
			return nil, &Error{file, 0, err}
		}
		some, err := parseStanza(file, stanza)
		if err == nil && len(all)+len(some) > most {
			err = fmt.Errorf("more than %d sources", most)
		}
		if err != nil {
			return nil, &Error{file, stanza.Line, err}
		}
		all = append(all, some...)
	}
}

// fields are the names in stanzas of options that have others in lines.
var fields = map[string]string{
	"architectures": "arch", "architectures-add": "arch+", "architectures-remove": "arch-",
	"languages": "lang", "languages-add": "lang", "languages-remove": "lang",
	"targets": "target", "targets-add": "target", "targets-remove": "target",
}

// parseStanza makes a source of each suite of each URI.
func parseStanza(file string, stanza deb822.Stanza) (all []Source, err error) {
	common := Source{File: file, Line: stanza.Line}
	var types, uris, suites, components []string
	for _, f := range stanza.Fields {
		name := strings.ToLower(f.Name)
		switch name {
		case "types":
			types = strings.Fields(f.Value)
		case "uris":
			uris = strings.Fields(f.Value)
		case "suites":
			suites = strings.Fields(f.Value)
		case "components":
			components = strings.Fields(f.Value)
		case "enabled":
			var on *bool
			if err := boolean(&on, f.Value); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			} else if !*on {
				return nil, nil
			}
		case "description":
		default:
			if strings.HasPrefix(name, "x-") {
				continue
			}
			if option, ok := fields[name]; ok {
				name = option
			}
			if err := common.set(name, f.Value); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
		}
	}
	if len(types) == 0 || len(uris) == 0 || len(suites) == 0 {
		return nil, errors.New("Types, URIs and Suites must be there")
	}
	if len(uris)*len(suites) > most {
		return nil, fmt.Errorf("more than %d sources", most)
	}
	binary := false
	for _, t := range types {
		switch t {
		case "deb":
			binary = true
		case "deb-src":
		default:
			return nil, fmt.Errorf("unknown type %q", t)
		}
	}
	if !binary {
		return nil, nil
	}
	for _, uri := range uris {
		for _, suite := range suites {
			s := common
			s.URI, s.Suite = uri, suite
			s.SignedBy, s.Components = append([]string(nil), common.SignedBy...), components
			if err := s.check(); err != nil {
				return nil, err
			}
			all = append(all, s)
		}
	}
	return all, nil
}
