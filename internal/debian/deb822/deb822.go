// Package deb822 reads and writes stanzas of fields, the format of Debian's control files, package indexes, Release
// files and sources (deb-control(5), deb822(5)).
//
// It promises to refuse what two readers could understand differently (duplicate fields, control characters, blank
// continuation lines), in bounded memory, with the line in every error. It must not know what the fields mean.
package deb822

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Field is one field of a stanza. Lines of a folded or multi-line value are separated by \n and lack the one blank that
// marks them as continuation; the first one has no blanks around it.
type Field struct{ Name, Value string }

// Stanza is a group of fields in the order of the file.
type Stanza struct {
	Line   int // of its first field, from 1
	Fields []Field
}

// Lookup returns the value of a field, whose name is the same in any case of letters.
func (s Stanza) Lookup(name string) (value string, ok bool) {
	for _, f := range s.Fields {
		if len(f.Name) == len(name) && strings.EqualFold(f.Name, name) {
			return f.Value, true
		}
	}
	return "", false
}

// Get is the value of a field, empty when there is none.
func (s Stanza) Get(name string) string {
	value, _ := s.Lookup(name)
	return value
}

// Options says how to read; its zero value reads strictly, as programs write.
type Options struct {
	Handwritten bool // lines starting with # are comments, lines of blanks separate stanzas, lines may end in CR LF
	MaxLine     int  // bytes; 0: 1 MiB
	MaxStanza   int  // bytes; 0: 4 MiB
	MaxFields   int  // 0: 1000
}

func (o Options) withDefaults() Options {
	if o.MaxLine == 0 {
		o.MaxLine = 1 << 20
	}
	if o.MaxStanza == 0 {
		o.MaxStanza = 4 << 20
	}
	if o.MaxFields == 0 {
		o.MaxFields = 1000
	}
	return o
}

// Error is a mistake in a line.
type Error struct {
	Line int
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Reader reads stanza after stanza.
type Reader struct {
	in   *bufio.Reader
	o    Options
	line int
	err  error
}

// NewReader reads from r.
func NewReader(r io.Reader, o Options) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, 64<<10), o: o.withDefaults()}
}

// Next returns the next stanza, io.EOF after the last one, *Error for a mistake in it, or the error of the reader below.
// After an error it returns the same again.
func (r *Reader) Next() (Stanza, error) {
	if r.err != nil {
		return Stanza{}, r.err
	}
	for {
		text, first, err := r.chunk()
		if err == nil && text == "" {
			err = io.EOF
		}
		var s Stanza
		if err == nil {
			s, err = parse(text, first, r.o)
		}
		if r.err = err; err != nil || len(s.Fields) > 0 { // there may be comments alone
			return s, err
		}
	}
}

// chunk collects the lines of a stanza; none at the end of the input. first is the number of the first.
func (r *Reader) chunk() (text string, first int, err error) {
	var b []byte
	for {
		start := len(b)
		if b, err = r.appendLine(b); err != nil {
			return "", 0, err
		}
		end := len(b) == start || b[len(b)-1] != '\n'
		if len(b) > start {
			r.line++
		}
		blank := r.separates(b[start:])
		switch {
		case blank && start == 0 && !end: // before the first field
			b = b[:0]
		case blank || end:
			if blank {
				b = b[:start]
			}
			if first == 0 {
				first = r.line
			}
			return string(b), first, nil
		case first == 0:
			first = r.line
		}
	}
}

// appendLine adds a line with its end to b.
func (r *Reader) appendLine(b []byte) ([]byte, error) {
	start := len(b)
	for {
		part, err := r.in.ReadSlice('\n')
		b = append(b, part...)
		switch {
		case len(b)-start > r.o.MaxLine:
			return b, &Error{r.line + 1, fmt.Errorf("longer than %d bytes", r.o.MaxLine)}
		case len(b) > r.o.MaxStanza:
			return b, &Error{r.line + 1, fmt.Errorf("stanza is longer than %d bytes", r.o.MaxStanza)}
		case err == nil || errors.Is(err, io.EOF):
			return b, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return b, err
		}
	}
}

// separates says whether a line ends a stanza.
func (r *Reader) separates(line []byte) bool {
	text := strings.TrimSuffix(string(line), "\n")
	if r.o.Handwritten {
		text = strings.Trim(text, " \t\r")
	}
	return text == ""
}
