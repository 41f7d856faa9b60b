package tree

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Aspect is in what two entries of the same path differ.
type Aspect string

const (
	Presence Aspect = "presence" // only one tree has the path
	Kind     Aspect = "type"
	Mode     Aspect = "mode"
	Owner    Aspect = "owner"
	Content  Aspect = "content"
	Target   Aspect = "target"
	Device   Aspect = "device"
	Links    Aspect = "links" // hard-link group
	Xattrs   Aspect = "xattrs"
	Times    Aspect = "times" // modification time, only when asked for
	Mounted  Aspect = "mount"
	Unread   Aspect = "unread" // it could not be read, so that nobody knows
)

// Difference is one aspect of one path. A and B say it in each tree; of a Presence one is empty.
type Difference struct {
	Path   string
	Aspect Aspect
	A, B   string
}

// String is one line without control characters.
func (d Difference) String() string {
	return fmt.Sprintf("%s %q: %s ≠ %s", d.Aspect, d.Path, or(d.A, "(none)"), or(d.B, "(none)"))
}

func or(s, empty string) string {
	if s == "" {
		return empty
	}
	return s
}

// CompareOptions of Compare; the zero value compares everything but times.
type CompareOptions struct {
	Times bool // modification times, to the nanosecond
}

// Compare lists how b differs from a, sorted by path.
func Compare(a, b *Manifest, o CompareOptions) []Difference {
	var diffs []Difference
	i, j := 0, 0
	for i < len(a.Entries) || j < len(b.Entries) {
		switch {
		case j == len(b.Entries) || i < len(a.Entries) && a.Entries[i].Path < b.Entries[j].Path:
			diffs = append(diffs, Difference{a.Entries[i].Path, Presence, a.Entries[i].summary(), ""})
			i++
		case i == len(a.Entries) || b.Entries[j].Path < a.Entries[i].Path:
			diffs = append(diffs, Difference{b.Entries[j].Path, Presence, "", b.Entries[j].summary()})
			j++
		default:
			diffs = append(diffs, entries(a.Entries[i], b.Entries[j], o)...)
			i, j = i+1, j+1
		}
	}
	return diffs
}

// entries lists in what two entries of one path differ. Objects of different type are not compared further than
// their owners and modes.
func entries(a, b Entry, o CompareOptions) []Difference {
	var diffs []Difference
	add := func(aspect Aspect, sa, sb string) {
		if sa != sb {
			diffs = append(diffs, Difference{a.Path, aspect, sa, sb})
		}
	}
	add(Kind, string(a.Type), string(b.Type))
	add(Mode, fmt.Sprintf("%04o", a.Mode), fmt.Sprintf("%04o", b.Mode))
	add(Owner, fmt.Sprintf("%d:%d", a.UID, a.GID), fmt.Sprintf("%d:%d", b.UID, b.GID))
	if a.Unread != "" || b.Unread != "" {
		diffs = append(diffs, Difference{a.Path, Unread, or(a.Unread, "read"), or(b.Unread, "read")})
		return diffs
	}
	if a.Type != b.Type {
		return diffs
	}
	if a.Size != b.Size || a.Hash != b.Hash {
		diffs = append(diffs, Difference{a.Path, Content, a.content(), b.content()})
	}
	add(Target, quote(a.Target), quote(b.Target))
	add(Device, fmt.Sprintf("%d:%d", a.Major, a.Minor), fmt.Sprintf("%d:%d", b.Major, b.Minor))
	add(Links, quote(a.Link), quote(b.Link))
	add(Xattrs, a.xattrs(), b.xattrs())
	add(Mounted, fmt.Sprint(a.Mount), fmt.Sprint(b.Mount))
	if o.Times {
		add(Times, a.ModTime.UTC().Format(time.RFC3339Nano), b.ModTime.UTC().Format(time.RFC3339Nano))
	}
	return diffs
}

func quote(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf("%q", s)
}

func (e Entry) summary() string {
	s := fmt.Sprintf("%s %04o %d:%d", e.Type, e.Mode, e.UID, e.GID)
	for _, more := range []string{e.content(), quote(e.Target)} {
		if more != "" {
			s += " " + more
		}
	}
	return s
}

func (e Entry) content() string {
	if e.Type != File {
		return ""
	}
	return fmt.Sprintf("%d bytes sha256:%.12s", e.Size, e.Hash)
}

func (e Entry) xattrs() string {
	parts := make([]string, 0, len(e.Xattrs))
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		parts = append(parts, fmt.Sprintf("%q=%q", name, e.Xattrs[name]))
	}
	return strings.Join(parts, " ")
}
