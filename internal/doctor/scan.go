package doctor

import (
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/at"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/userns"
)

// scanIDs are the ids that a run has, as the scanning process sees owners.
type scanIDs struct{ UIDs, GIDs []userns.Range }

// Sample is how often something was found, where first, and what it was there.
type Sample struct {
	Count  int
	First  []byte // path, raw
	Detail string `json:",omitempty"`
}

// Scan is what every inode of a root was looked at for.
type Scan struct {
	Files, Directories, Links, Devices, Others int
	Names                                      int // that aren't UTF-8

	Owners     Sample // owned by ids that a run doesn't have
	Attributes Sample // user.overlay.*: the overlay takes them for its own
	Trusted    Sample // trusted.overlay.*: a run neither sees nor keeps them
	Whiteouts  Sample // devices 0:0: the overlay takes them for deleted files
	Locked     Sample // immutable or append-only: can't be replaced at commit
	Mounts     Sample // mount points: what is below isn't part of the root in a run
	Closed     Sample // directories that can't be read
	Shared     Sample // hard links with further names outside of the root
	Wide       Sample // inode numbers of more than 32 bits

	Duration time.Duration
}

func (s *Sample) add(path func() string, detail string) {
	if s.Count == 0 {
		s.First, s.Detail = []byte(path()), detail
	}
	s.Count++
}

// maxLinks bounds the memory for files with several names.
const maxLinks = 1 << 20

// scanner walks a root by descriptors: no link is followed, nothing but directories is opened, no mount is entered.
type scanner struct {
	scan   *Scan
	ids    scanIDs
	cursor *at.Cursor
	todo   []*at.Dir
	linked map[at.Inode]*linked
}

// linked is a file with several names: how many are left to be seen.
type linked struct {
	left uint32
	dir  *at.Dir
	name string
}

// scanRoot looks at everything below dir.
func scanRoot(dir *os.File, ids scanIDs) (*Scan, error) {
	began := time.Now()
	top := &at.Dir{}
	cursor, err := at.NewCursor(int(dir.Fd()), top)
	if err != nil {
		return nil, &os.PathError{Op: "scan", Path: dir.Name(), Err: err}
	}
	defer cursor.Close()
	s := &scanner{scan: &Scan{}, ids: ids, cursor: cursor, todo: []*at.Dir{top}, linked: map[at.Inode]*linked{}}
	st, err := at.Fstat(int(dir.Fd()))
	if err != nil {
		return nil, &os.PathError{Op: "scan", Path: dir.Name(), Err: err}
	}
	s.owner(st, top.Path)
	for len(s.todo) > 0 {
		d := s.todo[len(s.todo)-1]
		s.todo = s.todo[:len(s.todo)-1]
		if err := s.directory(d); err != nil {
			return nil, &os.PathError{Op: "scan", Path: quote(d.Path()), Err: err}
		}
	}
	for _, l := range s.linked {
		if l.left > 0 {
			s.scan.Shared.add(func() string { return l.dir.Join(l.name) }, "")
		}
	}
	s.scan.Duration = time.Since(began)
	return s.scan, nil
}

// directory looks at the entries of d and puts those that are directories on the list.
func (s *scanner) directory(d *at.Dir) error {
	fd, err := s.cursor.Seek(d)
	switch err {
	case nil:
	case unix.EACCES, unix.EPERM:
		s.scan.Closed.add(d.Path, "")
		return nil
	case unix.EXDEV:
		s.scan.Mounts.add(d.Path, "")
		return nil
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ESTALE:
		return nil // somebody changes the root meanwhile
	default:
		return err
	}
	names, err := at.Names(fd)
	if err != nil {
		return err
	}
	if attributes, err := at.Fxattrs(fd); err == nil {
		s.attributes(attributes, d.Path)
	}
	for i := len(names) - 1; i >= 0; i-- { // the list is taken from its end
		if err := s.entry(fd, d, names[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) entry(fd int, d *at.Dir, name string) error {
	st, err := at.Lstat(fd, name)
	if err == unix.ENOENT || err == unix.EACCES {
		return nil
	}
	if err != nil {
		return err
	}
	path := func() string { return d.Join(name) }
	if !utf8.ValidString(name) {
		s.scan.Names++
	}
	s.owner(st, path)
	if st.Locked {
		s.scan.Locked.add(path, "")
	}
	if st.Number>>32 != 0 {
		s.scan.Wide.add(path, "")
	}
	switch st.Type {
	case at.Directory:
		s.scan.Directories++
		s.todo = append(s.todo, d.Child(name)) // its attributes are looked at when it is open
		return nil
	case at.Symlink:
		s.scan.Links++
		return nil
	case at.File:
		s.scan.Files++
	case at.CharDevice, at.BlockDevice:
		s.scan.Devices++
		if st.Type == at.CharDevice && st.RdevMajor == 0 && st.RdevMinor == 0 {
			s.scan.Whiteouts.add(path, "")
		}
	default:
		s.scan.Others++
	}
	s.links(st, d, name)
	if attributes, err := at.Xattrs(fd, name, st.Type); err == nil {
		s.attributes(attributes, path)
	}
	return nil
}

// owner checks that a run has the ids.
func (s *scanner) owner(st at.Stat, path func() string) {
	if len(s.ids.UIDs) == 0 {
		return
	}
	if _, ok := userns.Inside(s.ids.UIDs, int(st.UID)); !ok {
		s.scan.Owners.add(path, fmt.Sprintf("user %d", st.UID))
		return
	}
	if _, ok := userns.Inside(s.ids.GIDs, int(st.GID)); !ok {
		s.scan.Owners.add(path, fmt.Sprintf("group %d", st.GID))
	}
}

func (s *scanner) attributes(names []string, path func() string) {
	for _, name := range names {
		if strings.HasPrefix(name, "user.overlay.") {
			s.scan.Attributes.add(path, name)
		}
		if strings.HasPrefix(name, "trusted.overlay.") {
			s.scan.Trusted.add(path, name)
		}
	}
}

// links counts the names of a file that has several.
func (s *scanner) links(st at.Stat, d *at.Dir, name string) {
	if st.Nlink < 2 {
		return
	}
	l := s.linked[st.Inode]
	if l == nil {
		if len(s.linked) == maxLinks {
			return
		}
		l = &linked{left: st.Nlink, dir: d, name: name}
		s.linked[st.Inode] = l
	}
	if l.left > 0 {
		l.left--
	}
}

// scanShift is where the subordinate ids are put in the scanning child's namespace: there, id 65534 means nothing but
// "not mapped", which in a run's own namespace could be the root's nobody as well.
const scanShift = 1 << 20

// scanTree scans the root with the rights that a run will have: an ordinary user's run reads directories of its
// subordinate ids, which the user can't.
func scanTree(dir *os.File, caller userns.Caller) (*Scan, error) {
	ids, err := caller.Map(true)
	if err != nil {
		return scanRoot(dir, scanIDs{}) // no run, no owners to compare with
	}
	if !ids.Helper {
		return scanRoot(dir, scanIDs{ids.UIDs, ids.GIDs})
	}
	ids.UIDs, ids.GIDs = shifted(ids.UIDs), shifted(ids.GIDs)
	conn, p, err := spawn(scanName, unix.CLONE_NEWUSER)
	if err != nil {
		return scanRoot(dir, scanIDs{})
	}
	defer conn.Close()
	defer func() { _ = p.Kill(); _, _ = p.Wait() }()
	if err := ids.Write(p.Pid); err != nil {
		return scanRoot(dir, scanIDs{})
	}
	var a answer
	if err := converse(conn, request{Scan: scanIDs{seen(ids.UIDs), seen(ids.GIDs)}}, []*os.File{dir}, &a); err != nil {
		return nil, err
	}
	a.Scan.nameOwner(dir)
	return a.Scan, nil
}

// shifted moves the ranges behind the first to scanShift.
func shifted(ranges []userns.Range) []userns.Range {
	out := append([]userns.Range(nil), ranges...)
	for i := range out[1:] {
		out[i+1].Inside += scanShift
	}
	return out
}

// seen is a map from the ids that the child sees to the same: what isn't in it is not mapped.
func seen(ranges []userns.Range) []userns.Range {
	var out []userns.Range
	for _, r := range ranges {
		out = append(out, userns.Range{Inside: r.Inside, Outside: r.Inside, Size: r.Size})
	}
	return out
}

// nameOwner puts the number of the first foreign owner in: the child sees only that it isn't mapped.
func (s *Scan) nameOwner(dir *os.File) {
	what, _, ok := strings.Cut(s.Owners.Detail, " ")
	if !ok {
		return
	}
	s.Owners.Detail = "another " + what
	if st, err := fd.Lstat(dir, string(s.Owners.First)); err == nil {
		id := st.Uid
		if what == "group" {
			id = st.Gid
		}
		s.Owners.Detail = fmt.Sprintf("%s %d", what, id)
	}
}

// scanChild scans the directory that it is given.
func scanChild(r request, files []*os.File) answer {
	if len(files) != 1 {
		return answer{Error: "no directory to scan"}
	}
	if err := userns.BecomeRoot(); err != nil {
		return answer{Error: err.Error()}
	}
	scan, err := scanRoot(files[0], r.Scan)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Scan: scan}
}
