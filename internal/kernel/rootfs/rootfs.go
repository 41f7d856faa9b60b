// Package rootfs reads a directory as if it were /: every symlink in it, also
// an absolute one or one with too many "..", stays inside.
//
// It promises that no file outside the directory is opened, whatever links
// someone puts into it meanwhile, and it remembers which links a path went
// through, so that the caller can tell later whether they changed.
//
// It only reads, and must not know what the files are for.
package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is an opened directory. Its methods are for one goroutine, but for Open
// and Stat, which are for any number.
type Root struct {
	dir   *os.File
	nodes map[string]node // what was found at a path without links
}

// node is what Readlink said of a path; links have a target.
type node struct {
	target string
	err    error
}

// Open opens the directory at name.
func Open(name string) (*Root, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return &Root{dir: os.NewFile(uintptr(fd), name), nodes: map[string]node{}}, nil
}

// Close closes the directory.
func (r *Root) Close() error { return r.dir.Close() }

// Name is the name that the directory was opened by.
func (r *Root) Name() string { return r.dir.Name() }

// HostPath is the path of a file of the root on the host, for people to read.
func (r *Root) HostPath(name string) string { return path.Join(r.dir.Name(), name) }

// Resolve follows all links of an absolute path. real has none. links are the
// paths of those that were met, which have none before their last element. The
// error is a *os.PathError; it wraps fs.ErrNotExist when something is missing.
func (r *Root) Resolve(name string) (real string, links []string, err error) {
	const most = 40 // links, as in Linux
	todo := strings.Split(name, "/")
	real = "/"
	for len(todo) > 0 {
		next := todo[0]
		todo = todo[1:]
		switch next {
		case "", ".":
			continue
		case "..":
			real = path.Dir(real)
			continue
		}
		at := path.Join(real, next)
		n := r.node(at)
		switch {
		case n.err != nil:
			return "", links, &os.PathError{Op: "resolve", Path: r.HostPath(name), Err: n.err}
		case n.target == "":
			real = at
			continue
		}
		if links = append(links, at); len(links) > most {
			return "", links, &os.PathError{Op: "resolve", Path: r.HostPath(name), Err: unix.ELOOP}
		}
		if strings.HasPrefix(n.target, "/") {
			real = "/"
		}
		todo = append(strings.Split(n.target, "/"), todo...)
	}
	return real, links, nil
}

// node looks at a path whose directory has no links.
func (r *Root) node(at string) node {
	if n, ok := r.nodes[at]; ok {
		return n
	}
	var n node
	buf := make([]byte, unix.PathMax)
	size, err := unix.Readlinkat(r.fd(), relative(at), buf)
	switch {
	case err == nil && size > 0:
		n.target = string(buf[:size])
	case err == nil:
		n.err = unix.ENOENT
	case !errors.Is(err, unix.EINVAL): // EINVAL: it exists and is no link
		n.err = err
	}
	r.nodes[at] = n
	return n
}

// Info is what tells one version of a file from another.
type Info struct {
	Mode  uint32 // as in struct stat
	Size  int64  // bytes
	MTime int64  // nanoseconds since 1970
	Inode uint64
}

// Regular says whether it is a regular file.
func (i Info) Regular() bool { return i.Mode&unix.S_IFMT == unix.S_IFREG }

// Dir says whether it is a directory.
func (i Info) Dir() bool { return i.Mode&unix.S_IFMT == unix.S_IFDIR }

// Stat looks at real, a path as Resolve gives it, or at a link there.
func (r *Root) Stat(real string) (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(r.fd(), relative(real), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Info{}, &os.PathError{Op: "stat", Path: r.HostPath(real), Err: err}
	}
	return Info{st.Mode, st.Size, st.Mtim.Nano(), st.Ino}, nil
}

// Open opens the regular file at real, a path as Resolve gives it, to read.
func (r *Root) Open(real string) (*os.File, error) {
	f, err := r.open(real, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		_ = f.Close()
		if err == nil {
			err = &os.PathError{Op: "open", Path: r.HostPath(real), Err: errors.New("not a regular file")}
		}
		return nil, err
	}
	return f, nil
}

// ReadDir lists the directory at real, a path as Resolve gives it, by name.
func (r *Root) ReadDir(real string) ([]fs.DirEntry, error) {
	f, err := r.open(real, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("list directory: %w", err)
	}
	return entries, nil
}

// open refuses links, which Resolve took out: one that is there now was put
// there since. openat2 is in Linux 5.6; some containers' filters refuse it.
func (r *Root) open(real string, flags int) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	}
	for {
		fd, err := unix.Openat2(r.fd(), relative(real), &how)
		if err == unix.EAGAIN || err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: r.HostPath(real), Err: err}
		}
		return os.NewFile(uintptr(fd), r.HostPath(real)), nil
	}
}

func (r *Root) fd() int { return int(r.dir.Fd()) }

// relative is an absolute path as seen from the root's descriptor.
func relative(name string) string {
	if name = strings.TrimPrefix(path.Clean(name), "/"); name != "" {
		return name
	}
	return "."
}
