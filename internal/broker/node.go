package broker

import (
	"errors"
	"fmt"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
	"github.com/crossroot/crossroot/internal/protocol"
)

// harmless are the character devices that a script may make: they give nothing that the sandbox's own /dev doesn't.
var harmless = map[[2]uint32]bool{
	{1, 3}: true, {1, 5}: true, {1, 7}: true, {1, 8}: true, {1, 9}: true, // null zero full random urandom
	{5, 0}: true, {5, 1}: true, {5, 2}: true, // tty console ptmx
}

// mknod answers the making of a device node. A harmless one becomes an empty file, with the owner and mode of the
// node, and a record: commit puts the node in its place where it may (real root). No device can be opened through the
// overlay of a user namespace anyway; what bootstrap tools test is that making and writing work.
func (b *Broker) mknod(r seccomp.Request, dirfd int, name uint64, mode uint32, device uint64) {
	errno := b.makeNode(r, dirfd, name, mode, device)
	_ = b.listener.Answer(r.ID, 0, errno)
}

func (b *Broker) makeNode(r seccomp.Request, dirfd int, address uint64, mode uint32, device uint64) unix.Errno {
	made, errno := PlaceNode(b.listener, r, dirfd, address, mode, device)
	switch {
	case errno == 0:
		b.mu.Lock()
		defer b.mu.Unlock()
		b.nodes[made.Path] = made.Node
	case made.Refused:
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.refused) < 1000 {
			b.refused = append(b.refused, fmt.Sprintf("%s (%d:%d)", made.Path, made.Major, made.Minor))
		}
	}
	return errno
}

// PlacedNode is the empty file that stands for a device node, or the node that was refused.
type PlacedNode struct {
	protocol.Node
	Path    string // as this process sees it
	Dev     uint64 // with Node.Ino: which file
	Refused bool
}

// PlaceNode makes the empty file that stands for a harmless device node, where the peer asks for it and with the owner and
// mode that it would have.
func PlaceNode(l *seccomp.Listener, r seccomp.Request, dirfd int, address uint64, mode uint32, device uint64) (made PlacedNode, _ unix.Errno) {
	file, err := readString(r.PID, address, unix.PathMax)
	if err != nil {
		return made, unix.EFAULT
	}
	who, err := credentials(r.PID)
	if err != nil || !l.Valid(r.ID) {
		return made, unix.ESRCH
	}
	if !who.mayMknod {
		return made, unix.EPERM
	}
	made.Node = protocol.Node{Name: path.Base(file), Mode: mode, Major: unix.Major(device), Minor: unix.Minor(device)}
	allowed := mode&unix.S_IFMT == unix.S_IFCHR && harmless[[2]uint32{made.Major, made.Minor}]
	dir, err := parent(r.PID, dirfd, file)
	if err != nil {
		return made, number(err)
	}
	defer dir.Close()
	where, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(dir.Fd())))
	if err != nil {
		return made, unix.EIO
	}
	if !l.Valid(r.ID) { // the directory is that of the process that asked
		return made, unix.ESRCH
	}
	made.Path = path.Join(where, made.Name)
	if !allowed {
		made.Refused = true
		return made, unix.EPERM
	}
	f, err := unix.Openat(int(dir.Fd()), made.Name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return made, number(err)
	}
	defer unix.Close(f)
	if err := unix.Fchmod(f, mode&0o7777&^who.umask); err != nil {
		return made, number(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(f, &st); err != nil {
		return made, number(err)
	}
	made.Ino, made.Dev = st.Ino, st.Dev
	return made, 0
}

// parent opens the directory of an unsafe path as the peer would: from its root, its working directory or dirfd.
func parent(pid, dirfd int, file string) (*os.File, error) {
	proc := "/proc/" + strconv.Itoa(pid)
	root, err := os.OpenFile(proc+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dir := path.Dir(file)
	if strings.HasPrefix(file, "/") {
		return fd.Open(root, dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	}
	start := proc + "/cwd"
	if dirfd != unix.AT_FDCWD {
		start = proc + "/fd/" + strconv.Itoa(dirfd)
	}
	here, err := os.OpenFile(start, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if dir == "." {
		return here, nil
	}
	defer here.Close()
	// Relative with more than one component: the absolute form, resolved inside the peer's root.
	base, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(here.Fd())))
	if err != nil {
		return nil, err
	}
	rootPath, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(root.Fd())))
	if err != nil {
		return nil, err
	}
	inside, ok := strings.CutPrefix(base, strings.TrimSuffix(rootPath, "/"))
	if !ok {
		return nil, unix.ENOENT
	}
	return fd.Open(root, inside+"/"+dir, unix.O_PATH|unix.O_DIRECTORY, 0)
}

// peer is what the kernel says of a process.
type peer struct {
	mayMknod bool
	umask    uint32
}

// credentials reads whether the peer is privileged in the run's namespace, and its umask.
func credentials(pid int) (peer, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return peer{}, err
	}
	var p peer
	for _, line := range strings.Split(string(text), "\n") {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "CapEff":
			set, err := strconv.ParseUint(value, 16, 64)
			if err != nil {
				return peer{}, err
			}
			p.mayMknod = set&(1<<unix.CAP_MKNOD) != 0
		case "Umask":
			mask, err := strconv.ParseUint(value, 8, 32)
			if err != nil {
				return peer{}, err
			}
			p.umask = uint32(mask)
		}
	}
	return p, nil
}

// number is the error number of err.
func number(err error) unix.Errno {
	var e unix.Errno
	if errors.As(err, &e) {
		return e
	}
	return unix.EIO
}

// Nodes returns the device nodes that were made, by path, and those that were refused.
func (b *Broker) Nodes() (map[string]protocol.Node, []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	refused := append([]string(nil), b.refused...)
	sort.Strings(refused)
	return b.nodes, refused
}
