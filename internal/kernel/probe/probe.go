// Package probe tries what a kernel, a user and a file system can do, one small function for each thing, with the call
// that will be made in earnest. It promises to leave nothing behind (but in the caller's own namespaces, where that is
// said), and errors that carry the kernel's number; it must not know what anybody wants it for.
package probe

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Release is the kernel's version as uname(2) has it: for messages, never for decisions.
func Release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// Call is a system call that a run can't do without.
type Call struct {
	Name  string
	Since string // the kernel that has it first, for messages
	try   func() error
}

// Calls are those calls. Arguments are such that nothing happens; errors other than ENOSYS mean that there is one.
func Calls() []Call {
	return []Call{
		{"openat2", "5.6", func() error {
			fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
			return closing(fd, err)
		}},
		{"fsopen", "5.2", func() error { return closing(unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)) }},
		{"open_tree", "5.2", func() error { return closing(unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLOEXEC)) }},
		{"move_mount", "5.2", func() error {
			return unix.MoveMount(-1, "", -1, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
		}},
		{"mount_setattr", "5.12", func() error { return unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &unix.MountAttr{}) }},
		{"close_range", "5.11", func() error { return unix.CloseRange(1<<30, 1<<30, unix.CLOSE_RANGE_CLOEXEC) }},
		{"pidfd_open", "5.3", func() error { return closing(unix.PidfdOpen(os.Getpid(), 0)) }},
		{"pidfd_getfd", "5.6", func() error { return closing(unix.PidfdGetfd(-1, 0, 0)) }},
		{"statx", "4.11", func() error {
			var x unix.Statx_t
			return unix.Statx(unix.AT_FDCWD, "/", 0, unix.STATX_BASIC_STATS, &x)
		}},
		{"process_vm_readv", "3.2", func() error {
			_, err := unix.ProcessVMReadv(os.Getpid(), nil, nil, 0)
			return err
		}},
	}
}

// Missing reports whether the kernel lacks the call, or something between hides it. Container runtimes' filters of old
// answer EPERM for calls that they don't know.
func (c Call) Missing() bool {
	err := c.try()
	return err == unix.ENOSYS || (err == unix.EPERM && c.Name == "openat2")
}

func closing(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// Privileged reports whether the file would run with more rights than its caller's: set-uid root or with file
// capabilities, on a mount that honours them.
func Privileged(path string) bool {
	var st unix.Stat_t
	var fs unix.Statfs_t
	if unix.Stat(path, &st) != nil || unix.Statfs(path, &fs) != nil || fs.Flags&unix.ST_NOSUID != 0 {
		return false
	}
	if st.Mode&unix.S_ISUID != 0 && st.Uid == 0 {
		return true
	}
	n, err := unix.Getxattr(path, "security.capability", nil)
	return err == nil && n > 0
}

// UserAttributes sets and removes a user attribute on the directory.
func UserAttributes(dir string) error {
	const name = "user.overlay.crossroot"
	if err := unix.Setxattr(dir, name, []byte("y"), 0); err != nil {
		return &os.PathError{Op: "set a user attribute", Path: dir, Err: err}
	}
	return unix.Removexattr(dir, name)
}

// Executable tries whether files of the directory can be executed; the mount may forbid it.
func Executable(dir string) error {
	f, err := os.CreateTemp(dir, "probe-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Chmod(0o700); err != nil {
		return err
	}
	if err := unix.Access(f.Name(), unix.X_OK); err != nil {
		return fmt.Errorf("execute files in %s: %w", dir, err)
	}
	return nil
}

// Device checks that a node is the character device that its name says.
func Device(path string, major, minor uint32) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || unix.Major(st.Rdev) != major || unix.Minor(st.Rdev) != minor {
		return fmt.Errorf("%s is not the character device %d:%d", path, major, minor)
	}
	return nil
}

// Memory is the machine's memory in bytes.
func Memory() (free, total int64, err error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, 0, os.NewSyscallError("sysinfo", err)
	}
	return int64(info.Freeram+info.Bufferram) * int64(info.Unit), int64(info.Totalram) * int64(info.Unit), nil
}

// MountID is the number of the mount that f lies on, as mountinfo has it (statx(2), Linux 5.8).
func MountID(f *os.File) (int, error) {
	var x unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &x); err != nil {
		return 0, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if x.Mask&unix.STATX_MNT_ID == 0 {
		return 0, &os.PathError{Op: "find the mount of", Path: f.Name(), Err: unix.ENOTSUP}
	}
	return int(x.Mnt_id), nil
}
