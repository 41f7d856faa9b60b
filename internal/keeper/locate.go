package keeper

import (
	"errors"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/dispatcher"
	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
	"github.com/crossroot/crossroot/internal/protocol"
)

// pending is a process that was told to unshare its mount namespace: what the builder's looks like.
type pending struct {
	root *os.File // of the process, in the mount namespace that it leaves; open for reading, or it can't be handed over
	ns   *os.File // that namespace
	cwd  *os.File // its working directory there, where it goes back
	id   uint64   // the namespace's number
}

func (p *pending) close() {
	for _, f := range []*os.File{p.root, p.ns, p.cwd} {
		if f != nil {
			f.Close()
		}
	}
}

// attachment is a hidden directory in one process's root. It lasts until that process ends.
type attachment struct {
	root   *root
	dir    *os.File // the root, where the mount point is removed
	ns     *os.File // the builder's mount namespace; nil: the process's is the builder's
	mine   uint64   // the number of the namespace in which it was attached
	theirs uint64   // and of the builder's
	once   sync.Once
}

// locate attaches the hidden directory to the root of a process which has none. The namespace of a process that may
// unshare it is made its own first, so that the builder never sees a mount. A process without the right, that of a
// container, has a namespace which the builder doesn't look into.
func (k *keeper) locate(r seccomp.Request) (int64, *os.File, error) {
	proc := "/proc/" + strconv.Itoa(r.PID)
	id, err := identify(proc + "/root")
	if err != nil {
		return 0, nil, err
	}
	if id == k.hostRoot {
		return 0, nil, unix.EXDEV
	}
	ns, err := namespace(proc)
	if err != nil {
		return 0, nil, err
	}
	step := r.Args[2]
	k.mu.Lock()
	before := k.pending[r.PID]
	delete(k.pending, r.PID)
	k.mu.Unlock()
	if before != nil {
		defer before.close()
	}
	a, name, err := k.examine(r)
	if err != nil {
		return 0, nil, err
	}
	if !k.listener.Valid(r.ID) {
		return 0, nil, unix.ESRCH
	}
	switch {
	case slices.Contains(mountPrograms, path.Base(name)):
		return 0, nil, unix.EXDEV
	case step == dispatcher.StepUnshared && before != nil && before.id != ns:
		if err := k.attach(r, id, a, before, ns); err != nil {
			return 0, nil, err
		}
		f, err := k.again(r, proc, name, before.root)
		return 0, f, err
	case step == dispatcher.StepFirst && mayUnshare(proc):
		return dispatcher.LocateUnshare, nil, k.await(r, proc, ns)
	case ns == k.builderNS:
		return 0, nil, unix.EPERM
	}
	return dispatcher.LocateReady, nil, k.attach(r, id, a, nil, ns)
}

// answerLocate answers with a number or a descriptor.
func (k *keeper) answerLocate(r seccomp.Request) {
	value, file, err := k.locate(r)
	if file == nil {
		_ = k.listener.Answer(r.ID, value, number(err))
		return
	}
	defer file.Close()
	_ = k.listener.AnswerFD(r.ID, file, unix.O_CLOEXEC)
}

// again opens the executable in the namespace into which its process went: the descriptor that it has is one of the
// namespace that it left, in which its path leads elsewhere.
func (k *keeper) again(r seccomp.Request, proc, name string, before *os.File) (*os.File, error) {
	top, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(before.Fd())))
	if err != nil {
		return nil, err
	}
	inside, ok := strings.CutPrefix(name, strings.TrimSuffix(top, "/"))
	if !ok {
		return nil, unix.EXDEV
	}
	root, err := os.OpenFile(proc+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := fd.OpenRegular(root, inside)
	if err != nil {
		return nil, err
	}
	old, err := broker.Descriptor(r.PID, int(int32(r.Args[1])))
	if err != nil {
		file.Close()
		return nil, err
	}
	defer old.Close()
	var a, b unix.Stat_t
	if unix.Fstat(int(old.Fd()), &a) != nil || unix.Fstat(int(file.Fd()), &b) != nil || a.Dev != b.Dev || a.Ino != b.Ino {
		file.Close()
		return nil, unix.ESTALE
	}
	return file, nil
}

// examine tells the architecture and the path of the executable behind a request's descriptor.
func (k *keeper) examine(r seccomp.Request) (arch.Arch, string, error) {
	f, err := broker.Descriptor(r.PID, int(int32(r.Args[1])))
	if err != nil {
		return arch.Arch{}, "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return arch.Arch{}, "", err
	}
	if !info.Mode().IsRegular() {
		return arch.Arch{}, "", unix.ENOEXEC
	}
	image, err := elfimage.Open(f, info.Size())
	if err != nil {
		return arch.Arch{}, "", unix.ENOEXEC
	}
	a, ok := arch.IdentifyProgram(image.Header, image.Interp())
	if !ok || a.RunsNativelyOn(arch.Host()) {
		return arch.Arch{}, "", unix.ENOEXEC
	}
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err == nil && image.Interp() == "" {
		a, err = rootArch(r.PID, a)
	}
	return a, name, err
}

// telling are executables that nearly every root has, in the order of trust.
var telling = []string{"bin/sh", "usr/bin/sh", "usr/bin/dpkg", "bin/busybox", "usr/bin/busybox", "usr/bin/env", "sbin/init", "usr/sbin/init"}

// rootArch is the architecture of a process's root, where a static executable for a doesn't tell it from its relatives. A
// root that has nothing yet isn't attached to: what it becomes isn't known.
func rootArch(pid int, a arch.Arch) (arch.Arch, error) {
	root, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return a, err
	}
	defer root.Close()
	for _, name := range telling {
		f, err := fd.OpenRegular(root, name)
		if err != nil {
			continue
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			continue
		}
		image, err := elfimage.Open(f, info.Size())
		f.Close()
		if err != nil {
			continue
		}
		if found, ok := arch.IdentifyProgram(image.Header, image.Interp()); ok {
			return found, nil
		}
	}
	return a, unix.ENOENT
}

// await notes what the process leaves behind when it unshares.
func (k *keeper) await(r seccomp.Request, proc string, ns uint64) error {
	root, err := os.OpenFile(proc+"/root", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	space, err := os.Open(proc + "/ns/mnt")
	if err != nil {
		root.Close()
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.setPending(r.PID, &pending{root: root, ns: space, id: ns})
	return nil
}

// setPending notes what a process leaves behind, under the lock, and forgets those that were killed before they asked
// again: an open descriptor keeps the builder from unmounting a root.
func (k *keeper) setPending(pid int, p *pending) {
	for other, old := range k.pending {
		var st unix.Stat_t
		if other == pid || unix.Stat("/proc/"+strconv.Itoa(other), &st) != nil {
			old.close()
			delete(k.pending, other)
		}
	}
	k.pending[pid] = p
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

// namespace is the number of a process's mount namespace.
func namespace(proc string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(proc+"/ns/mnt", &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}

// noteBuilder notes what the builder's own mount namespace is.
func (k *keeper) noteBuilder() (err error) {
	k.builderNS, err = namespace("/proc/" + strconv.Itoa(k.first.Pid))
	return err
}

// mayUnshare reports whether a process has CAP_SYS_ADMIN in its user namespace.
func mayUnshare(proc string) bool {
	set, err := capabilities(proc)
	return err == nil && set&(1<<unix.CAP_SYS_ADMIN) != 0
}

// capabilities is a process's effective set.
func capabilities(proc string) (uint64, error) {
	text, err := os.ReadFile(proc + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, unix.ENODATA
}

func duplicate(f *os.File) (*os.File, error) {
	n, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(n), f.Name()), nil
}

// reopen opens a directory's descriptor anew, for use of its own.
func reopen(dir *os.File) (*os.File, error) { return duplicate(dir) }

// number is the error number of err, 0 for none.
func number(err error) unix.Errno {
	if err == nil {
		return 0
	}
	var e unix.Errno
	if errors.As(err, &e) {
		return e
	}
	return unix.EIO
}
