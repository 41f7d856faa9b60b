package policy

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// Error is a mistake in a policy file.
type Error struct {
	File   string
	Line   int    // from 1
	Row    string // name of the row, "" outside of rows
	Key    string
	Reason string // what is wrong, and the way out
}

func (e *Error) Error() string {
	where := fmt.Sprintf("%s:%d", e.File, e.Line)
	if e.Row != "" {
		where += fmt.Sprintf(": row %q", e.Row)
	}
	if e.Key != "" {
		where += fmt.Sprintf(": key %q", e.Key)
	}
	return where + ": " + e.Reason
}

// Parse reads a policy in TOML, as docs/policy.md describes it. name is the file's name for errors,
// which are all of type [*Error]. Defaults are filled in.
func Parse(name string, data []byte) (*Policy, error) {
	var file struct {
		Row []toml.Primitive `toml:"row"`
	}
	meta, err := toml.NewDecoder(bytes.NewReader(data)).Decode(&file)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	where := locate(data)
	rows := make([]Row, len(file.Row))
	for i := range rows {
		if err := meta.PrimitiveDecode(file.Row[i], &rows[i]); err != nil {
			return nil, typeError(name, where, i, err)
		}
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, unknownKey(name, where, unknown[0])
	}
	for i := range rows {
		setDefaults(&rows[i])
		if m := check(rows[i]); m != nil {
			return nil, &Error{File: name, Line: where.key(i, m.inCase, m.key), Row: rows[i].Name, Key: m.key, Reason: m.err.Error()}
		}
	}
	if i, reason := splitFamily(rows); reason != "" {
		return nil, &Error{File: name, Line: where.key(i, -1, "family"), Row: rows[i].Name, Key: "family", Reason: reason}
	}
	return &Policy{rows: rows}, nil
}

func syntaxError(name string, err error) error {
	var parse toml.ParseError
	if errors.As(err, &parse) {
		return &Error{File: name, Line: max(1, parse.Position.Line), Key: parse.LastKey, Reason: parse.Message}
	}
	key, reason := splitTypeError(err)
	return &Error{File: name, Line: 1, Key: key, Reason: reason}
}

// typeError is about a value of the wrong type in row i. The reader's own line number is that of the
// key's last occurrence in the file.
func typeError(name string, where locations, i int, err error) error {
	key, reason := splitTypeError(err)
	inCase, last := -1, key[strings.LastIndexByte(key, '.')+1:]
	if strings.HasPrefix(key, "row.case.") {
		inCase = 0
	}
	return &Error{File: name, Line: where.key(i, inCase, last), Key: last, Reason: reason}
}

var typeMessage = regexp.MustCompile(`^toml: (?:line \d+ )?\(last key "([^"]*)"\): (?s:(.*))$`)

func splitTypeError(err error) (key, reason string) {
	if m := typeMessage.FindStringSubmatch(err.Error()); m != nil {
		return m[1], m[2]
	}
	return "", strings.TrimPrefix(err.Error(), "toml: ")
}

func setDefaults(row *Row) {
	if row.Name == "" && len(row.Programs) > 0 {
		row.Name = row.Programs[0]
	}
	if row.Version == "" {
		row.Version = versionUpstream
	}
	if row.Outcome == Deny && row.Exit == 0 {
		row.Exit = 126
	}
}

func unknownKey(name string, where locations, key toml.Key) error {
	e := &Error{File: name, Key: key[len(key)-1]}
	known := []string{"row"}
	if key[0] == "row" && len(key) > 1 {
		known = rowKeys
		if key[1] == "case" && len(key) > 2 {
			known = caseKeys
		}
	}
	e.Reason = "unknown key; known here: " + strings.Join(known, ", ")
	e.Line = where.first(len(key)-1, e.Key)
	return e
}
