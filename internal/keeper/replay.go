package keeper

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/mount"
)

// A program that changes mounts runs in the builder's namespace. Where that is a private one, nothing of it propagates
// into the namespaces that were made for attachments: what it did is done again there before it ends.

// returned is a process that went back to the builder's namespace.
type returned struct {
	ns, dir *os.File // that namespace, and the process's root there
	id      uint64   // the namespace's number
	before  []mounted
}

func (r *returned) close() {
	r.ns.Close()
	r.dir.Close()
}

// mounted is one line of mountinfo(5).
type mounted struct {
	id, device string
	path       string // from the root looked at
}

// below lists the mounts below a root of a mount namespace.
func below(ns, dir *os.File) ([]mounted, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	var all []mounted
	err = mount.Within(ns, func() error {
		self, err := fd.Open(proc, "thread-self/mountinfo", unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer self.Close()
		buf := make([]byte, 4096)
		n, err := unix.Readlinkat(int(proc.Fd()), "thread-self/fd/"+strconv.Itoa(int(dir.Fd())), buf)
		if err != nil {
			return err
		}
		text, err := readAll(self)
		all = parseMounts(text, strings.TrimSuffix(string(buf[:n]), "/"))
		return err
	})
	return all, err
}

// maxMounts bounds how much of a table of mounts is read, in bytes.
const maxMounts = 8 << 20

func readAll(f *os.File) (string, error) {
	var s strings.Builder
	buf := make([]byte, 64<<10)
	for s.Len() < maxMounts {
		n, err := unix.Read(int(f.Fd()), buf)
		if err != nil || n == 0 {
			return s.String(), err
		}
		s.Write(buf[:n])
	}
	return s.String(), unix.EFBIG
}

// parseMounts reads the lines of mountinfo(5) that are below top.
func parseMounts(text, top string) []mounted {
	var all []mounted
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		if inside, ok := strings.CutPrefix(unescape(f[4]), top+"/"); ok && inside != "" {
			all = append(all, mounted{f[0], f[2], inside})
		}
	}
	return all
}

// unescape undoes the octal escapes of mountinfo(5).
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// noteReturn notes what the builder's mounts are before a process goes back there; called under the lock.
func (k *keeper) noteReturn(pid int, at *attachment) {
	ns, err := duplicate(at.ns)
	if err != nil {
		return
	}
	dir, err := duplicate(at.dir)
	if err != nil {
		ns.Close()
		return
	}
	r := &returned{ns: ns, dir: dir, id: at.theirs}
	for other, old := range k.returned {
		if _, err := os.Stat("/proc/" + strconv.Itoa(other)); err != nil || other == pid { // killed
			old.close()
			delete(k.returned, other)
		}
	}
	if r.before, err = below(ns, dir); err != nil {
		r.close()
		return
	}
	k.returned[pid] = r
}

// replay does again what a process that is about to end did to the builder's mounts; pid is one of its threads.
func (k *keeper) replay(pid int) {
	k.mu.Lock()
	var r *returned
	for leader, other := range k.returned {
		if leader == pid || isThread(leader, pid) {
			r = other
			delete(k.returned, leader)
			break
		}
	}
	var processes []string
	if r != nil {
		for process, at := range k.attached {
			if at.ns != nil && at.theirs == r.id {
				processes = append(processes, "/proc/"+strconv.Itoa(process))
			}
		}
	}
	k.mu.Unlock()
	if r == nil {
		return
	}
	defer r.close()
	after, err := below(r.ns, r.dir)
	if err != nil {
		return
	}
	for _, p := range processes { // one that has ended meanwhile, or has another root, needs nothing
		for _, m := range slices.Backward(r.before) {
			if !slices.Contains(after, m) {
				_ = unmountIn(p, r.dir, m)
			}
		}
		for _, m := range after {
			if !slices.Contains(r.before, m) {
				_ = r.mountIn(p, m)
			}
		}
	}
}

// mountIn attaches a clone of a mount of the builder's namespace at the same place in a process's.
func (r *returned) mountIn(proc string, m mounted) error {
	var tree *os.File
	if err := mount.Within(r.ns, func() error {
		point, err := fd.Open(r.dir, m.path, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer point.Close()
		tree, err = mount.Clone(point, "", false)
		return err
	}); err != nil {
		return err
	}
	defer tree.Close()
	var is unix.Stat_t
	if err := unix.Fstat(int(tree.Fd()), &is); err != nil {
		return err
	}
	return at(proc, r.dir, m.path, func(point *os.File, st *unix.Statx_t) error {
		if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 && unix.Mkdev(st.Dev_major, st.Dev_minor) == is.Dev && st.Ino == is.Ino {
			return nil // it has propagated
		}
		return mount.Attach(tree, point)
	})
}

// unmountIn takes a mount away that the builder's namespace had.
func unmountIn(proc string, dir *os.File, m mounted) error {
	return at(proc, dir, m.path, func(point *os.File, st *unix.Statx_t) error {
		device := strconv.Itoa(int(st.Dev_major)) + ":" + strconv.Itoa(int(st.Dev_minor))
		if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 || device != m.device || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return nil
		}
		if err := unix.Fchdir(int(point.Fd())); err != nil {
			return err
		}
		return unix.Unmount(".", unix.MNT_DETACH)
	})
}

// at does something to a path of a process's root, in its mount namespace, if that root is still the directory dir.
func at(proc string, dir *os.File, inside string, do func(point *os.File, st *unix.Statx_t) error) error {
	root, err := os.OpenFile(proc+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	var a, b unix.Stat_t
	if unix.Fstat(int(root.Fd()), &a) != nil || unix.Fstat(int(dir.Fd()), &b) != nil || a.Dev != b.Dev || a.Ino != b.Ino {
		return unix.ESTALE
	}
	ns, err := os.Open(proc + "/ns/mnt")
	if err != nil {
		return err
	}
	defer ns.Close()
	return mount.Within(ns, func() error {
		point, err := fd.Open(root, inside, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer point.Close()
		var st unix.Statx_t
		if err := unix.Statx(int(point.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st); err != nil {
			return err
		}
		return do(point, &st)
	})
}

// mayReturn reports whether a process could go to the mount namespace by itself, if it had a descriptor: what it is given
// leads out of its root, as it may leave that anyway.
func mayReturn(proc string, ns *os.File) bool {
	set, err := capabilities(proc)
	if err != nil || set&(1<<unix.CAP_SYS_ADMIN) == 0 || set&(1<<unix.CAP_SYS_CHROOT) == 0 {
		return false
	}
	n, err := unix.IoctlRetInt(int(ns.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		return false
	}
	defer unix.Close(n)
	var owner, own unix.Stat_t
	return unix.Fstat(n, &owner) == nil && unix.Stat(proc+"/ns/user", &own) == nil && owner.Ino == own.Ino
}
