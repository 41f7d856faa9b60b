package deb822

import (
	"fmt"
	"io"
	"strings"
)

// Write writes a stanza and the empty line after it. It refuses what Reader would not give back: invalid names, a field
// that is there twice, control characters, blank continuation lines.
func Write(w io.Writer, fields []Field) error {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f.Name)
		b.WriteByte(':')
		for i, l := range strings.Split(f.Value, "\n") {
			switch {
			case i > 0:
				b.WriteString("\n " + l)
			case l != "":
				b.WriteString(" " + l)
			}
		}
		b.WriteByte('\n')
	}
	text := b.String()
	again, err := Parse(text, 1, Options{MaxLine: len(text) + 1, MaxFields: len(fields) + 1})
	if err != nil {
		return fmt.Errorf("write stanza: %w", err)
	}
	if len(again.Fields) != len(fields) {
		return fmt.Errorf("write stanza: %d fields would be read as %d", len(fields), len(again.Fields))
	}
	for i, f := range fields {
		if again.Fields[i] != f {
			return fmt.Errorf("write stanza: %s would be read as %q", f.Name, again.Fields[i].Value)
		}
	}
	_, err = io.WriteString(w, text+"\n")
	return err
}
