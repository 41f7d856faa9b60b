package keeper

import (
	"errors"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
	"github.com/crossroot/crossroot/internal/protocol"
)

// attachment is a hidden directory in one process's root. It lasts until that process ends.
type attachment struct {
	root   *root
	dir    *os.File // the root, where the mount point is removed
	ns     *os.File // the builder's mount namespace; nil: the process's is the builder's
	mine   uint64   // the number of the namespace in which it was attached
	theirs uint64   // and of the builder's
	once   sync.Once
}

// attach attaches the hidden directory in the process's mount namespace. outside is what the process left; nil: it is
// attached where the process always was.
func (k *keeper) attach(r seccomp.Request, id identity, a arch.Arch, outside *pending, ns uint64) error {
	proc := "/proc/" + strconv.Itoa(r.PID)
	dir, err := os.OpenFile(proc+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	root, err := k.open(id, a, dir)
	if err != nil {
		k.warn("%s: %v: everything is emulated", root.name, err)
		return err
	}
	tree, err := mount.Clone(nil, root.view, true)
	if err != nil {
		return err
	}
	defer tree.Close()
	at := &attachment{root: root, mine: ns}
	keep := dir
	if outside != nil {
		keep = outside.root
		if at.ns, err = duplicate(outside.ns); err != nil {
			return err
		}
		at.theirs = outside.id
	}
	if at.dir, err = reopen(keep); err != nil {
		at.close()
		return err
	}
	if err := k.use(at); err != nil {
		at.close()
		return err
	}
	space, err := os.Open(proc + "/ns/mnt")
	if err != nil {
		k.release(at)
		return err
	}
	defer space.Close()
	top, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(at.dir.Fd())))
	nodes := k.nodesBelow(top)
	defer closeNodes(nodes)
	if err := mount.Within(space, func() error {
		if outside != nil {
			// What the builder mounts is still seen here; what is mounted here isn't seen there.
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
				return os.NewSyscallError("mount", err)
			}
		}
		target, err := unix.Openat(int(dir.Fd()), protocol.HiddenDir[1:], unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		point := os.NewFile(uintptr(target), protocol.HiddenDir)
		defer point.Close()
		if outside != nil { // else the builder would see them
			show(nodes, dir)
		}
		return mount.Attach(tree, point)
	}); err != nil {
		k.release(at)
		return err
	}
	return k.watch(r, at)
}

// use makes the mount point, for the first user of a root, and leaves the root's times as they were.
func (k *keeper) use(at *attachment) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	root := at.root
	if root.users == 0 {
		k.note(root, at.dir)
		made, err := makePoint(at.dir)
		if err != nil {
			return err
		}
		root.made = made
		b, err := reopen(at.dir)
		if err != nil {
			return err
		}
		root.broker.Attach(b)
	}
	root.users++
	return nil
}

// release takes an attachment away: what is mounted on a directory goes when the directory is removed from another mount
// namespace, as this one is.
func (k *keeper) release(at *attachment) {
	at.once.Do(func() {
		k.mu.Lock()
		at.root.users--
		last := at.root.users == 0
		if last {
			at.root.broker.Detach()
			if at.root.made {
				removePoint(at.dir)
			}
		}
		for pid, other := range k.attached {
			if other == at {
				delete(k.attached, pid)
			}
		}
		k.mu.Unlock()
		at.close()
	})
}

func (at *attachment) close() {
	for _, f := range []*os.File{at.dir, at.ns} {
		if f != nil {
			f.Close()
		}
	}
}

// makePoint makes the mount point in a root; false: there is one already, an empty directory. Whatever else has its name
// stays, and nothing is attached.
func makePoint(dir *os.File) (bool, error) {
	err := keepTimes(dir, func() error { return unix.Mkdirat(int(dir.Fd()), protocol.HiddenDir[1:], 0o755) })
	if !errors.Is(err, unix.EEXIST) {
		return err == nil, err
	}
	n, err := unix.Openat(int(dir.Fd()), protocol.HiddenDir[1:], unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	f := os.NewFile(uintptr(n), protocol.HiddenDir)
	defer f.Close()
	if names, _ := f.Readdirnames(1); len(names) > 0 {
		return false, unix.ENOTEMPTY
	}
	return false, nil
}

func removePoint(dir *os.File) {
	_ = keepTimes(dir, func() error { return unix.Unlinkat(int(dir.Fd()), protocol.HiddenDir[1:], unix.AT_REMOVEDIR) })
}

// keepTimes changes an entry of a directory and leaves the directory's own times alone.
func keepTimes(dir *os.File, change func() error) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, mount.FDPath(dir), []unix.Timespec{st.Atim, st.Mtim}, 0)
}
