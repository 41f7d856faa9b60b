// Package mount makes mounts on descriptors with the kernel's new mount interface (Linux 5.2): no path of a root is
// ever joined, no option string escaped. Errors carry the operation and the object; it knows nothing of what is
// mounted for whom.
package mount

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Option is one key=value of a file system, a flag when Value is empty.
type Option struct{ Key, Value string }

// Attributes of a mount.
const (
	ReadOnly = unix.MOUNT_ATTR_RDONLY
	NoSuid   = unix.MOUNT_ATTR_NOSUID
	NoDev    = unix.MOUNT_ATTR_NODEV
	NoExec   = unix.MOUNT_ATTR_NOEXEC
)

// New makes a detached mount of a new instance of the file system; attributes as above.
func New(fstype string, attributes int, options ...Option) (*os.File, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open file system type %s: %w", fstype, err)
	}
	defer unix.Close(fs)
	for _, o := range options {
		if o.Value == "" {
			err = unix.FsconfigSetFlag(fs, o.Key)
		} else {
			err = unix.FsconfigSetString(fs, o.Key, o.Value)
		}
		if err != nil {
			return nil, fmt.Errorf("set %s option %s=%s: %w%s", fstype, o.Key, o.Value, err, complaint(fs))
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("create %s: %w%s", fstype, err, complaint(fs))
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w%s", fstype, err, complaint(fs))
	}
	return os.NewFile(uintptr(fd), fstype), nil
}

// complaint reads what the kernel has to say about a failed configuration.
func complaint(fs int) string {
	buf := make([]byte, 512)
	n, err := unix.Read(fs, buf)
	if err != nil || n <= 2 {
		return ""
	}
	return " (" + strings.TrimSpace(string(buf[2:n])) + ")"
}

// Clone makes a detached copy of the tree (or file) at dir/name; name may be empty for dir itself.
func Clone(dir *os.File, name string, recursive bool) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(at(dir), name, flags)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: full(dir, name), Err: err}
	}
	return os.NewFile(uintptr(fd), full(dir, name)), nil
}

// Attach puts a detached mount on the directory (or file) target.
func Attach(tree, target *os.File) error {
	if err := unix.MoveMount(int(tree.Fd()), "", int(target.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "attach mount", Path: target.Name(), Err: err}
	}
	return nil
}

// AttachAt puts a detached mount on the path in the caller's own root.
func AttachAt(tree *os.File, path string) error {
	if err := unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "attach mount", Path: path, Err: err}
	}
	return nil
}

// SetAttributes sets mount attributes on the mount of tree, on all below it when recursive.
func SetAttributes(tree *os.File, set uint64, recursive bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if err := unix.MountSetattr(int(tree.Fd()), "", flags, &unix.MountAttr{Attr_set: set}); err != nil {
		return &os.PathError{Op: "set mount attributes", Path: tree.Name(), Err: err}
	}
	return nil
}

// IDMap makes the owners of a detached tree appear as the user namespace maps them (Linux 5.12; the file system must
// support it).
func IDMap(tree, userns *os.File) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns.Fd())}
	if err := unix.MountSetattr(int(tree.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return &os.PathError{Op: "idmap mount", Path: tree.Name(), Err: err}
	}
	return nil
}

// Private makes every mount of this namespace private, so that nothing done here is seen elsewhere.
func Private() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return &os.PathError{Op: "make private", Path: "/", Err: err}
	}
	return nil
}

// Within does something in another mount namespace, whose paths then are those of its root, on a thread of its own.
func Within(namespace *os.File, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return os.NewSyscallError("unshare", err)
			}
			if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("enter mount namespace: %w", err)
			}
			return do()
		}()
	}()
	return <-done
}

// Pivot makes the attached mount the root of this mount namespace and lets go of the old one; afterwards the working
// directory is the new root.
func Pivot(root *os.File) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Fchdir(int(root.Fd())); err != nil {
		return &os.PathError{Op: "chdir", Path: root.Name(), Err: err}
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return &os.PathError{Op: "pivot_root", Path: root.Name(), Err: err}
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return &os.PathError{Op: "let go of the old root", Path: root.Name(), Err: err}
	}
	if err := unix.Chdir("/"); err != nil {
		return &os.PathError{Op: "chdir", Path: "/", Err: err}
	}
	var here, root2 unix.Stat_t
	if err := unix.Stat(".", &here); err != nil {
		return &os.PathError{Op: "stat", Path: ".", Err: err}
	}
	if err := unix.Stat("/", &root2); err != nil || here.Dev != root2.Dev || here.Ino != root2.Ino {
		return &os.PathError{Op: "pivot_root", Path: root.Name(), Err: unix.EXDEV}
	}
	return nil
}

func at(dir *os.File) int {
	if dir == nil {
		return unix.AT_FDCWD
	}
	return int(dir.Fd())
}

func full(dir *os.File, name string) string {
	switch {
	case dir == nil:
		return name
	case name == "":
		return dir.Name()
	}
	return dir.Name() + "/" + name
}

// FDPath is the path of an open descriptor in the caller's own /proc.
func FDPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }
