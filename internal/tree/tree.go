// Package tree describes a directory tree: what a Manifest of it holds can be compared with another's, written down
// and read back. It promises that nothing in a hostile tree is followed, opened (but regular files and directories)
// or run, that names are kept byte for byte, and that the same tree gives the same manifest. It knows nothing of
// what the trees are for.
package tree

import (
	"sort"
	"time"
)

// Type is what kind of object an Entry is, in mtree(5)'s words.
type Type string

const (
	File    Type = "file"
	Dir     Type = "dir"
	Symlink Type = "link"
	Char    Type = "char"
	Block   Type = "block"
	FIFO    Type = "fifo"
	Socket  Type = "socket"
)

// Entry is one name in a tree.
type Entry struct {
	Path    string // relative to the top, which is "."; any bytes but NUL
	Type    Type
	Mode    uint32 // 07777; 0777 for every symlink
	UID     uint32 // as recorded: after Options.UID
	GID     uint32
	ModTime time.Time
	Size    int64  // bytes, File only
	Hash    string // SHA-256 in hex, File only
	Target  string // Symlink only
	Major   uint32 // Char and Block only
	Minor   uint32
	// Link names the hard-link group: the first path, in Manifest's order, of an inode with several names in the
	// tree; empty for an inode with one name.
	Link   string
	Xattrs map[string]string
	Mount  bool   // a mount point whose content was not read
	Unread string // why its content, names or attributes could not be read, where Options.Tolerant allows that
}

// Manifest is a tree, sorted bytewise by path.
type Manifest struct {
	Entries []Entry
}

// Lookup finds the entry of a path.
func (m *Manifest) Lookup(path string) (Entry, bool) {
	i := sort.Search(len(m.Entries), func(i int) bool { return m.Entries[i].Path >= path })
	if i < len(m.Entries) && m.Entries[i].Path == path {
		return m.Entries[i], true
	}
	return Entry{}, false
}

// finish sorts the entries and turns groups, which map an inode to its names, into Entry.Link.
func (m *Manifest) finish(groups map[[2]uint64][]string) {
	sort.Slice(m.Entries, func(i, j int) bool { return m.Entries[i].Path < m.Entries[j].Path })
	leader := map[string]string{}
	for _, names := range groups {
		if len(names) < 2 {
			continue
		}
		sort.Strings(names)
		for _, name := range names {
			leader[name] = names[0]
		}
	}
	for i := range m.Entries {
		m.Entries[i].Link = leader[m.Entries[i].Path]
	}
}
