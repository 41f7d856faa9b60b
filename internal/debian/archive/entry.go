package archive

import (
	"fmt"
	"strings"
)

// Type is what a member of the archive makes.
type Type uint8

// The types that a package may have.
const (
	File Type = iota + 1
	Directory
	Symlink
	Hardlink
)

// String is the word for messages.
func (t Type) String() string {
	return [...]string{"nothing", "file", "directory", "symbolic link", "hard link"}[t]
}

// Entry is a member of a package's files.
type Entry struct {
	Name     string // relative, without . and .. and //; "." is the root
	Type     Type
	Mode     uint32 // permission, set-id and sticky bits: 07777
	UID, GID uint32
	Size     int64  // of a file, bytes
	Link     string // of a symbolic link: its target as it is; of a hard link: the Name of an earlier file
	MTime    int64  // seconds since 1970
}

const (
	maxEntries   = 300_000
	maxNames     = 64 << 20  // bytes, of all entries
	maxComponent = 255       // bytes
	maxID        = 1<<31 - 1 // owners above it are -1 to some system call or other
)

// order is what the entries so far allow of the next one.
type order struct {
	seen  map[string]Type
	names int // bytes
}

// accept turns a header into an entry, or says why it is none.
func (o *order) accept(h header) (Entry, error) {
	e := Entry{Size: h.size, UID: uint32(h.uid), GID: uint32(h.gid), Mode: uint32(h.mode) & 0o7777, MTime: h.mtime}
	var err error
	if e.Type, err = typeOf(h); err != nil {
		return e, err
	}
	if e.Name, err = cleanName(h.name, e.Type == Directory); err != nil {
		return e, err
	}
	bad := func(format string, args ...any) (Entry, error) {
		return e, damaged("%.200q: %s", e.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case h.uid > maxID || h.gid > maxID:
		return bad("owner %d, group %d", h.uid, h.gid)
	case e.Type != File && h.size != 0:
		return bad("a %s with content", e.Type)
	case e.Name == "." && e.Type != Directory:
		return bad("the root is a %s", e.Type)
	case len(o.seen) >= maxEntries || o.names > maxNames:
		return e, fmt.Errorf("%w: more than %d files, or %d bytes of names", ErrTooLarge, maxEntries, maxNames)
	}
	o.names += len(e.Name)
	if was := o.seen[e.Name]; was != 0 && (was != Directory || e.Type != Directory) {
		return bad("twice, as %s and as %s", was, e.Type)
	}
	if err := o.checkParents(e.Name); err != nil {
		return e, err
	}
	switch e.Type {
	case Symlink:
		if h.link == "" || len(h.link) >= maxPath {
			return bad("a link to a name of %d bytes", len(h.link))
		}
		e.Link = h.link
	case Hardlink:
		if e.Link, err = cleanName(h.link, false); err != nil {
			return bad("a hard link to %.60q", h.link)
		}
		if o.seen[e.Link] != File {
			return bad("a hard link to %.60q, which is no earlier file of the package", h.link)
		}
	}
	o.seen[e.Name] = e.Type
	if e.Type == Hardlink {
		o.seen[e.Name] = File // may be linked to in its turn
	}
	return e, nil
}

// checkParents refuses what lies below something else than a directory. Directories that the package doesn't list are
// noted: nothing else may take their place later.
func (o *order) checkParents(name string) error {
	for {
		slash := strings.LastIndexByte(name, '/')
		if slash < 0 {
			return nil
		}
		dir := name[:slash]
		switch o.seen[dir] {
		case Directory:
			return nil
		case 0:
			o.seen[dir] = Directory
		default:
			return damaged("%.200q lies below %.200q, a %s", name, dir, o.seen[dir])
		}
		name = dir
	}
}

func typeOf(h header) (Type, error) {
	switch h.kind {
	case '0', '7':
		return File, nil
	case 0: // v7: a directory is what ends with a slash
		if strings.HasSuffix(h.name, "/") {
			return Directory, nil
		}
		return File, nil
	case '1':
		return Hardlink, nil
	case '2':
		return Symlink, nil
	case '5':
		return Directory, nil
	}
	what := map[byte]string{
		'3': "a character device", '4': "a block device", '6': "a FIFO", 'S': "a sparse file", 'x': "a PAX header", 'g': "a PAX header",
		'X': "a Solaris header", 'M': "a part of another archive", 'V': "a volume's name", 'D': "a list of files",
	}[h.kind]
	if what == "" {
		what = fmt.Sprintf("of unknown type %q", h.kind)
	}
	return 0, damaged("%.200q is %s, which has no place in a package", h.name, what)
}

// cleanName is a name without ./ in front and, for a directory, / behind. It refuses everything that isn't written
// plainly.
func cleanName(name string, directory bool) (string, error) {
	clean := name
	if directory {
		clean = strings.TrimSuffix(clean, "/")
	}
	if rest, ok := strings.CutPrefix(clean, "./"); ok {
		clean = rest
	} else if clean == "." {
		return ".", nil
	}
	if clean == "" && directory && name == "./" {
		return ".", nil
	}
	if len(clean) >= maxPath {
		return "", damaged("a name of %d bytes", len(clean))
	}
	for part := range strings.SplitSeq(clean, "/") {
		if part == "" || part == "." || part == ".." || len(part) > maxComponent {
			return "", damaged("name %.200q", name)
		}
	}
	if strings.IndexByte(clean, 0) >= 0 {
		return "", damaged("name %.200q", name)
	}
	return clean, nil
}
