package policy

import (
	"bytes"
	"errors"
	"fmt"
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
		Row []Row `toml:"row"`
	}
	where := locate(data)
	meta, err := toml.NewDecoder(bytes.NewReader(data)).Decode(&file)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, unknownKey(name, where, unknown[0])
	}
	for i := range file.Row {
		row := &file.Row[i]
		setDefaults(row)
		if m := check(*row); m != nil {
			return nil, &Error{File: name, Line: where.key(i, m.inCase, m.key), Row: row.Name, Key: m.key, Reason: m.err.Error()}
		}
	}
	if i, reason := splitFamily(file.Row); reason != "" {
		return nil, &Error{File: name, Line: where.key(i, -1, "family"), Row: file.Row[i].Name, Key: "family", Reason: reason}
	}
	return &Policy{rows: file.Row}, nil
}

func syntaxError(name string, err error) error {
	var parse toml.ParseError
	if errors.As(err, &parse) {
		return &Error{File: name, Line: max(1, parse.Position.Line), Key: parse.LastKey, Reason: parse.Message}
	}
	return &Error{File: name, Line: 1, Reason: strings.TrimPrefix(err.Error(), "toml: ")}
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
