package deb822

import (
	"errors"
	"fmt"
	"strings"
)

// Parse reads the one stanza that text holds; line is the number of its first line. The error is an *Error.
func Parse(text string, line int, o Options) (Stanza, error) {
	return parse(text, line, o.withDefaults())
}

func parse(text string, line int, o Options) (Stanza, error) {
	s := Stanza{Line: line, Fields: make([]Field, 0, 24)}
	var more strings.Builder // value of the last field, once it has a second line
	flush := func() {
		if more.Len() > 0 {
			s.Fields[len(s.Fields)-1].Value = more.String()
			more.Reset()
		}
	}
	for at := line; text != ""; at++ {
		var l string
		l, text, _ = strings.Cut(text, "\n")
		if o.Handwritten {
			l = strings.TrimSuffix(l, "\r")
			if strings.HasPrefix(l, "#") {
				continue
			}
		}
		if err := checkLine(l, o.MaxLine); err != nil {
			return Stanza{}, &Error{at, err}
		}
		if l[0] == ' ' || l[0] == '\t' {
			if len(s.Fields) == 0 {
				return Stanza{}, &Error{at, errors.New("continuation line without a field")}
			}
			if more.Len() == 0 {
				more.WriteString(s.Fields[len(s.Fields)-1].Value)
			}
			more.WriteByte('\n')
			more.WriteString(strings.TrimRight(l[1:], " \t"))
			continue
		}
		flush()
		if len(s.Fields) == o.MaxFields {
			return Stanza{}, &Error{at, fmt.Errorf("more than %d fields", o.MaxFields)}
		}
		f, err := field(l)
		if err == nil {
			if _, twice := s.Lookup(f.Name); twice {
				err = fmt.Errorf("field %s is there twice", f.Name)
			}
		}
		if err != nil {
			return Stanza{}, &Error{at, err}
		}
		if len(s.Fields) == 0 {
			s.Line = at
		}
		s.Fields = append(s.Fields, f)
	}
	flush()
	return s, nil
}

func checkLine(l string, most int) error {
	if len(l) > most {
		return fmt.Errorf("longer than %d bytes", most)
	}
	for i := range len(l) {
		if c := l[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("control character %#02x", c)
		}
	}
	if strings.Trim(l, " \t") == "" {
		return errors.New("blank line in a stanza")
	}
	return nil
}

func field(l string) (Field, error) {
	name, value, ok := strings.Cut(l, ":")
	if !ok {
		return Field{}, fmt.Errorf("no colon after a field name in %q", shorten(l))
	}
	if !validName(name) {
		return Field{}, fmt.Errorf("invalid field name %q", shorten(name))
	}
	return Field{name, strings.Trim(value, " \t")}, nil
}

// validName: printable ASCII without blank and colon, not starting with # or - (Debian Policy 5.1).
func validName(name string) bool {
	if name == "" || name[0] == '#' || name[0] == '-' {
		return false
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' || name[i] == ':' {
			return false
		}
	}
	return true
}

func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
