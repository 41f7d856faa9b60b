package worker

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/kernel/overlay"
	"github.com/crossroot/crossroot/internal/kernel/probe"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/transaction"
)

// layout is what the worker mounted. The worker's own root is a small tmpfs, the stage:
//
//	/lower    ROOT                       /up      the upper's file system: upper/, work/
//	/merged   the overlay of both        /.cr     exec map, tool root, dispatcher (bound read-only on /merged/.cr)
//	/proc     the host's, for pid lookups /dev    device nodes to bind
//	/bind/N   sources of --bind
type layout struct {
	lower, upper *os.File
	merged       *os.File // to be closed before the overlay is unmounted
	made         []string // mount points that were made in the upper
}

// devices are the nodes of a minimal /dev, with their numbers, which are checked before one is bound.
var devices = []struct {
	name         string
	major, minor uint32
}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}

// stageSize bounds the worker's own tmpfs, which holds mount points only.
const stageSize = "1m"

func (w *worker) layOut() error {
	if err := mount.Private(); err != nil {
		return err
	}
	held, err := w.holdTrees()
	if err != nil {
		return err
	}
	stage, err := mount.New("tmpfs", mount.NoDev, mount.Option{Key: "size", Value: stageSize}, mount.Option{Key: "mode", Value: "755"})
	if err != nil {
		return err
	}
	defer stage.Close()
	if err := mount.AttachAt(stage, "/"); err != nil {
		return err
	}
	if err := mount.Pivot(stage); err != nil {
		return err
	}
	for _, h := range held {
		if err := h.attach(); err != nil {
			return err
		}
	}
	return w.merge()
}

// held is a detached mount and where the stage takes it.
type held struct {
	tree *os.File
	path string
	file bool
}

func (h held) attach() error {
	if err := os.MkdirAll(path.Dir(h.path), 0o755); err != nil {
		return err
	}
	if h.file {
		if err := os.WriteFile(h.path, nil, 0o644); err != nil {
			return err
		}
	} else if err := os.MkdirAll(h.path, 0o755); err != nil {
		return err
	}
	defer h.tree.Close()
	return mount.AttachAt(h.tree, h.path)
}

// holdTrees collects, before the host's tree is let go, all that the stage needs of it.
func (w *worker) holdTrees() ([]held, error) {
	s := &w.setup
	var all []held
	add := func(t *protocol.Tree, at string, recursive bool) error {
		if t == nil {
			return nil
		}
		tree, err := w.tree(t, recursive)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(tree.Fd()), &st); err != nil {
			return &os.PathError{Op: "stat", Path: t.Path, Err: err}
		}
		all = append(all, held{tree, at, st.Mode&unix.S_IFMT != unix.S_IFDIR})
		return nil
	}
	if s.RootEntry == "" {
		if err := add(&s.Root, "/lower", true); err != nil {
			return nil, &Error{Kind: "root", Path: s.RootName, Err: err}
		}
	}
	if err := errors.Join(
		add(&s.Image, "/image", false),
		add(s.ToolBase, "/tools/base", false),
		add(s.ToolExtra, "/tools/extra", false),
		add(s.ToolCache, toolCache, false),
		add(s.Spool, spoolMount(s), false),
		add(&protocol.Tree{Path: "/proc", FD: -1}, "/proc", true),
	); err != nil {
		return nil, err
	}
	for i := range s.Emulators {
		if err := add(&s.Emulators[i].File, "/emulator/"+s.Emulators[i].Arch, false); err != nil {
			return nil, err
		}
	}
	for i := range s.Binds {
		if err := add(&s.Binds[i].Source, "/bind/"+strconv.Itoa(i), true); err != nil {
			return nil, &Error{Kind: "bind", Path: s.Binds[i].Source.Path, Err: err}
		}
	}
	for _, d := range devices {
		tree, err := device(d.name, d.major, d.minor)
		if err != nil {
			return nil, err
		}
		all = append(all, held{tree, "/dev/" + d.name, true})
	}
	return all, nil
}

// tree returns a detached mount of t: the one passed, or a clone made here after a check that it is the same thing.
func (w *worker) tree(t *protocol.Tree, recursive bool) (*os.File, error) {
	if t.FD >= 0 {
		if t.FD >= len(w.passed) {
			return nil, fmt.Errorf("descriptor of %s is missing", t.Path)
		}
		return os.NewFile(w.passed[t.FD].Fd(), t.Path), nil
	}
	f, err := os.OpenFile(t.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if t.Ino != 0 {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return nil, &os.PathError{Op: "stat", Path: t.Path, Err: err}
		}
		if st.Dev != t.Dev || st.Ino != t.Ino {
			return nil, &os.PathError{Op: "open", Path: t.Path, Err: errors.New("it was replaced meanwhile")}
		}
	}
	return mount.Clone(f, "", recursive)
}

// device clones a node of the host's /dev, if it is the right one.
func device(name string, major, minor uint32) (*os.File, error) {
	f, err := os.OpenFile("/dev/"+name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || unix.Major(st.Rdev) != major || unix.Minor(st.Rdev) != minor {
		return nil, &os.PathError{Op: "bind device", Path: f.Name(), Err: fmt.Errorf("not the character device %d:%d", major, minor)}
	}
	return mount.Clone(f, "", false)
}

// merge mounts the overlay of ROOT and a fresh upper, and everything on it that needs no pid namespace.
func (w *worker) merge() error {
	if err := w.shareMount(); err != nil {
		return err
	}
	var err error
	if w.layout.lower, err = os.OpenFile("/lower", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return &Error{Kind: "root", Path: w.setup.RootName, Err: err}
	}
	if err := w.checkRoot(w.layout.lower); err != nil {
		return err
	}
	if err := w.openUpper(); err != nil {
		return err
	}
	points, err := w.mountPoints()
	if err != nil {
		return err
	}
	if err := transaction.Seed(w.layout.upper, w.layout.lower); err != nil {
		return &Error{Kind: "owner", Path: w.setup.RootName, Err: fmt.Errorf("owner of %s: %w", w.setup.RootName, err)}
	}
	if err := os.Mkdir("/merged", 0o755); err != nil {
		return err
	}
	w.started = transaction.Now()
	// Without access times an unchanged one shows which hard-linked files were written through (package transaction).
	tree, err := mount.New("overlay", unix.MOUNT_ATTR_NOATIME, overlay.Options("/lower", "/up/upper", "/up/work", w.setup.SpoolSize == 0)...)
	if err != nil {
		return &Error{Kind: "overlay", Path: w.setup.RootName, Err: err}
	}
	defer tree.Close()
	if err := mount.AttachAt(tree, "/merged"); err != nil {
		return err
	}
	merged, err := os.OpenFile("/merged", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w.layout.merged = merged
	if err := w.hidden(); err != nil {
		return err
	}
	if err := w.devices(merged); err != nil {
		return err
	}
	if err := w.binds(merged); err != nil {
		return err
	}
	return w.hide(points)
}

// checkRoot makes sure that what was attached is the directory that was locked, not one put in its place.
func (w *worker) checkRoot(dir *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: w.setup.RootName, Err: err}
	}
	if st.Dev != w.setup.RootDev || st.Ino != w.setup.RootIno {
		return &Error{Kind: "root", Path: w.setup.RootName, Err: fmt.Errorf("%s was replaced meanwhile", w.setup.RootName)}
	}
	return nil
}

// openUpper makes the fresh upper and work directories, on a new tmpfs or on the spool's directory.
func (w *worker) openUpper() error {
	if w.setup.SpoolSize > 0 {
		tmpfs, err := mount.New("tmpfs", mount.NoDev, mount.Option{Key: "size", Value: strconv.FormatInt(w.setup.SpoolSize, 10)},
			mount.Option{Key: "mode", Value: "755"}, mount.Option{Key: "nr_inodes", Value: strconv.FormatInt(w.setup.SpoolInodes, 10)}, mount.Option{Key: "inode32"})
		if err != nil {
			return err
		}
		defer tmpfs.Close()
		if err := os.Mkdir("/up", 0o755); err != nil {
			return err
		}
		if err := mount.AttachAt(tmpfs, "/up"); err != nil {
			return err
		}
		if err := probe.UserAttributes("/up"); err != nil {
			return &Error{Kind: "spool", Err: fmt.Errorf("keep changes in memory (a tmpfs has user attributes since Linux 6.6): %w", err)}
		}
	}
	if err := w.clearSpool(); err != nil {
		return err
	}
	for _, dir := range []string{"/up/upper", "/up/work"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return &Error{Kind: "spool", Err: fmt.Errorf("make the upper directory: %w", err)}
		}
	}
	upper, err := os.OpenFile("/up/upper", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	w.layout.upper = upper
	return err
}

// mountPoints checks the directories of ROOT that something is mounted on, and makes the missing ones in the upper.
func (w *worker) mountPoints() ([]string, error) {
	var made []string
	for _, name := range []string{protocol.HiddenDir, "/proc", "/dev"} {
		st, err := fd.Lstat(w.layout.lower, name[1:])
		switch {
		case errors.Is(err, unix.ENOENT):
			if err := os.Mkdir("/up/upper"+name, 0o755); err != nil {
				return nil, err
			}
			made = append(made, name)
		case err != nil:
			return nil, &Error{Kind: "mountpoint", Path: name, Err: err}
		case w.leadsToItself(name, st.Mode):
			// A bootstrap in a container leaves /proc as a link to /proc: a loop in a chroot, which the second stage
			// replaces by a directory. So does the run, in the upper, as a change like any other.
			if err := os.Mkdir("/up/upper"+name, 0o755); err != nil {
				return nil, err
			}
			w.warn("%s%s is a symlink to itself: replaced by a directory", w.setup.RootName, name)
		case st.Mode&unix.S_IFMT != unix.S_IFDIR:
			return nil, &Error{Kind: "mountpoint", Path: name, Err: fmt.Errorf("%s%s is %s, not a directory", w.setup.RootName, name, fd.TypeName(st.Mode))}
		case name == protocol.HiddenDir:
			if names, err := fd.Readdirnames(w.layout.lower, name); err != nil || len(names) > 0 {
				return nil, &Error{Kind: "mountpoint", Path: name, Err: fmt.Errorf("%s%s exists and is not empty", w.setup.RootName, name)}
			}
		}
	}
	w.layout.made = made
	return made, nil
}

// leadsToItself reports whether the link called name in ROOT is a loop inside ROOT.
func (w *worker) leadsToItself(name string, mode uint32) bool {
	if mode&unix.S_IFMT != unix.S_IFLNK {
		return false
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(w.layout.lower.Fd()), name[1:], buf)
	return err == nil && string(buf[:n]) == name
}

// hide takes the mount points that were made out of the upper again: the paths keep working, no listing shows them.
// The kernel calls a change of a mounted overlay's upper undefined, so it is looked at afterwards.
func (w *worker) hide(points []string) error {
	if len(points) == 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(w.layout.upper.Fd()), &st); err != nil {
		return err
	}
	for _, p := range points {
		if p != protocol.HiddenDir {
			continue // /proc and /dev are looked for in listings: they stay visible and are dropped at commit
		}
		if err := os.Remove("/up/upper" + p); err != nil {
			return fmt.Errorf("hide %s: %w", p, err)
		}
		if _, err := os.Stat("/merged" + p + "/self"); err != nil {
			return fmt.Errorf("hide %s: %w", p, err)
		}
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return unix.UtimesNanoAt(unix.AT_FDCWD, "/up/upper", times, 0)
}
