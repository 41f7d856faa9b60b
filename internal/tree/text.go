package tree

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// header is the first line of a written manifest.
const header = "#mtree v2.0"

// Write writes the manifest in mtree(5) form (FreeBSD, full paths, octal escapes), one entry a line. Keywords beyond
// mtree's: hardlink (first name of the group), xattr.NAME (value in hex), mountpoint, unread (why).
func (m *Manifest) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, header)
	for _, e := range m.Entries {
		fmt.Fprintf(b, "%s type=%s mode=%04o uid=%d gid=%d time=%d.%09d",
			escape(dotted(e.Path)), e.Type, e.Mode, e.UID, e.GID, e.ModTime.Unix(), e.ModTime.Nanosecond())
		switch e.Type {
		case File:
			fmt.Fprintf(b, " size=%d sha256digest=%s", e.Size, e.Hash)
		case Symlink:
			fmt.Fprintf(b, " link=%s", escape(e.Target))
		case Char, Block:
			fmt.Fprintf(b, " device=native,%d,%d", e.Major, e.Minor)
		}
		if e.Link != "" {
			fmt.Fprintf(b, " hardlink=%s", escape(dotted(e.Link)))
		}
		for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
			fmt.Fprintf(b, " xattr.%s=%x", escape(name), e.Xattrs[name])
		}
		if e.Unread != "" {
			fmt.Fprintf(b, " unread=%s", escape(e.Unread))
		}
		if e.Mount {
			fmt.Fprint(b, " mountpoint")
		}
		fmt.Fprintln(b)
	}
	return b.Flush()
}

func dotted(path string) string {
	if path == "." {
		return "."
	}
	return "./" + path
}

func undotted(path string) (string, error) {
	if path == "." {
		return ".", nil
	}
	rest, ok := strings.CutPrefix(path, "./")
	if !ok || rest == "" {
		return "", fmt.Errorf("path %q does not start with ./", path)
	}
	return rest, nil
}

// escape writes every byte that is not a plain visible character as \ooo.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '\\' || c == '#' || c == '=' {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i+4 > len(s) {
			return "", fmt.Errorf("escape %q is cut off", s[i:])
		}
		c, err := strconv.ParseUint(s[i+1:i+4], 8, 8)
		if err != nil {
			return "", fmt.Errorf("escape %q is not octal", s[i:i+4])
		}
		b.WriteByte(byte(c))
		i += 3
	}
	return b.String(), nil
}

// Parse reads what Write wrote. Entries must be sorted and differ.
func Parse(r io.Reader) (*Manifest, error) {
	var m Manifest
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	if !in.Scan() || in.Text() != header {
		return nil, fmt.Errorf("parse manifest: line 1 is not %q", header)
	}
	for line := 2; in.Scan(); line++ {
		e, err := parseEntry(in.Text())
		if err != nil {
			return nil, fmt.Errorf("parse manifest: line %d: %w", line, err)
		}
		if n := len(m.Entries); n > 0 && m.Entries[n-1].Path >= e.Path {
			return nil, fmt.Errorf("parse manifest: line %d: %q is out of order", line, e.Path)
		}
		m.Entries = append(m.Entries, e)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	return &m, nil
}

func parseEntry(line string) (Entry, error) {
	words := strings.Split(line, " ")
	path, err := unescape(words[0])
	if err != nil {
		return Entry{}, err
	}
	var e Entry
	if e.Path, err = undotted(path); err != nil {
		return Entry{}, err
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		if err := e.set(key, value); err != nil {
			return Entry{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	if !slices.Contains([]Type{File, Dir, Symlink, Char, Block, FIFO, Socket}, e.Type) {
		return Entry{}, fmt.Errorf("type %q is unknown", e.Type)
	}
	return e, nil
}

// set takes one keyword of a line.
func (e *Entry) set(key, value string) (err error) {
	switch key {
	case "type":
		e.Type = Type(value)
	case "mode":
		e.Mode, err = number(value, 8, 0o7777)
	case "uid":
		e.UID, err = number(value, 10, 1<<32-1)
	case "gid":
		e.GID, err = number(value, 10, 1<<32-1)
	case "time":
		e.ModTime, err = parseTime(value)
	case "size":
		e.Size, err = strconv.ParseInt(value, 10, 64)
	case "sha256digest":
		e.Hash = value
		_, err = hex.DecodeString(value)
	case "link":
		e.Target, err = unescape(value)
	case "device":
		err = e.setDevice(value)
	case "hardlink":
		var dotted string
		if dotted, err = unescape(value); err == nil {
			e.Link, err = undotted(dotted)
		}
	case "unread":
		e.Unread, err = unescape(value)
	case "mountpoint":
		e.Mount = true
	default:
		return e.setXattr(key, value)
	}
	return err
}

func (e *Entry) setDevice(value string) (err error) {
	f := strings.Split(value, ",")
	if len(f) != 3 || f[0] != "native" {
		return fmt.Errorf("device %q is not native,MAJOR,MINOR", value)
	}
	if e.Major, err = number(f[1], 10, 1<<32-1); err != nil {
		return err
	}
	e.Minor, err = number(f[2], 10, 1<<32-1)
	return err
}

func (e *Entry) setXattr(key, value string) error {
	name, ok := strings.CutPrefix(key, "xattr.")
	if !ok {
		return errors.New("unknown keyword")
	}
	name, err := unescape(name)
	if err != nil {
		return err
	}
	data, err := hex.DecodeString(value)
	if err != nil {
		return err
	}
	if e.Xattrs == nil {
		e.Xattrs = map[string]string{}
	}
	e.Xattrs[name] = string(data)
	return nil
}

func number(s string, base int, limit uint64) (uint32, error) {
	n, err := strconv.ParseUint(s, base, 32)
	if err == nil && n > limit {
		return 0, strconv.ErrRange
	}
	return uint32(n), err
}

// parseTime reads seconds and nanoseconds since 1970.
func parseTime(s string) (time.Time, error) {
	sec, nsec, ok := strings.Cut(s, ".")
	if !ok || len(nsec) != 9 {
		return time.Time{}, fmt.Errorf("time %q is not SECONDS.NANOSECONDS", s)
	}
	a, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	b, err := strconv.ParseUint(nsec, 10, 32)
	return time.Unix(a, int64(b)), err
}
