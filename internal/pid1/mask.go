package pid1

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/mount"
)

// What of /proc a script doesn't see: files become /dev/null, directories empty, the rest read-only. With shifted ids
// the kernel refuses writes to them anyway; the masks are the second wall, and the only one under the identity map.
var (
	hiddenFiles = []string{"kcore", "keys", "key-users", "sysrq-trigger", "timer_list", "sched_debug", "latency_stats",
		"interrupts", "kallsyms", "kpagecount", "kpageflags", "kpagecgroup", "vmallocinfo", "slabinfo", "mdstat", "mtrr"}
	hiddenDirs   = []string{"acpi", "asound", "scsi", "driver"}
	readOnlyDirs = []string{"sys", "bus", "fs", "irq"}
)

// mask covers the dangerous parts of the new /proc, which is attached at /merged/proc.
func mask(proc *os.File) error {
	for _, name := range hiddenFiles {
		if err := cover(proc, name, func() (*os.File, error) {
			null, err := os.OpenFile("/merged/dev/null", unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil, err
			}
			defer null.Close()
			return mount.Clone(null, "", false)
		}); err != nil {
			return err
		}
	}
	for _, name := range hiddenDirs {
		if err := cover(proc, name, func() (*os.File, error) {
			return mount.New("tmpfs", mount.ReadOnly|mount.NoSuid|mount.NoDev|mount.NoExec, mount.Option{Key: "size", Value: "4k"}, mount.Option{Key: "mode", Value: "555"})
		}); err != nil {
			return err
		}
	}
	for _, name := range readOnlyDirs {
		if err := cover(proc, name, func() (*os.File, error) {
			tree, err := mount.Clone(proc, name, true)
			if err != nil {
				return nil, err
			}
			return tree, mount.SetAttributes(tree, mount.ReadOnly|mount.NoSuid|mount.NoDev|mount.NoExec, true)
		}); err != nil {
			return err
		}
	}
	return nil
}

// cover attaches what make returns over name in proc; a name that this kernel doesn't have needs no cover.
func cover(proc *os.File, name string, make func() (*os.File, error)) error {
	fd, err := unix.Openat2(int(proc.Fd()), name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: "/proc/" + name, Err: err}
	}
	target := os.NewFile(uintptr(fd), "/proc/"+name)
	defer target.Close()
	tree, err := make()
	if err != nil {
		return fmt.Errorf("cover /proc/%s: %w", name, err)
	}
	defer tree.Close()
	return mount.Attach(tree, target)
}

// openLimits opens the switches that end the making of namespaces (sysctl user.max_*_namespaces), of this user
// namespace and all below it.
func openLimits(proc *os.File) ([]*os.File, error) {
	fd, err := unix.Openat2(int(proc.Fd()), "sys/user", &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC})
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/proc/sys/user", Err: err}
	}
	dir := os.NewFile(uintptr(fd), "/proc/sys/user")
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, name := range names {
		if !strings.HasSuffix(name, "_namespaces") {
			continue
		}
		fd, err := unix.Openat(int(dir.Fd()), name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: "/proc/sys/user/" + name, Err: err}
		}
		files = append(files, os.NewFile(uintptr(fd), name))
	}
	return files, nil
}

// mountNamespaces is the limit for a worker that mounts while the command runs: its own, this one's, and those that the
// kernel counts for a tree that isn't attached yet.
const mountNamespaces = "4"

// closeLimits forbids further namespaces; mounts leaves the worker what it needs to mount. Nothing inside has the
// capability to make a mount namespace anyway.
func closeLimits(files []*os.File, mounts bool) error {
	for _, f := range files {
		limit := "0"
		if mounts && f.Name() == "max_mnt_namespaces" {
			limit = mountNamespaces
		}
		_, err := f.WriteString(limit)
		f.Close()
		if err != nil {
			return fmt.Errorf("limit %s: %w", f.Name(), err)
		}
	}
	return nil
}
