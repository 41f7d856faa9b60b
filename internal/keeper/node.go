package keeper

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
)

// nodeMakers are builders that can't do without device nodes, which no user namespace may make. Others bind the machine's
// own nodes when mknod fails, which is better: they aren't deceived.
var nodeMakers = []string{"debootstrap", "cdebootstrap"}

// maxNodes bounds how many nodes are remembered.
const maxNodes = 4096

// mknod answers the making of a device node by debootstrap: an empty file stands for a harmless one. Processes that are
// dispatched in the root find this machine's own node in its place. Everything else is left to the kernel.
func (k *keeper) mknod(r seccomp.Request, dirfd int, name uint64, mode uint32, device uint64) {
	if !descends(r.PID, nodeMakers) {
		_ = k.listener.Continue(r.ID)
		return
	}
	made, errno := broker.PlaceNode(k.listener, r, dirfd, name, mode, device)
	if errno == 0 {
		k.mu.Lock()
		if len(k.nodes) < maxNodes {
			k.nodes = append(k.nodes, made)
		}
		k.mu.Unlock()
	}
	_ = k.listener.Answer(r.ID, 0, errno)
}

// deepest bounds how many ancestors of a process are looked at.
const deepest = 16

// descends reports whether a process or one of its ancestors is one of the programs, or their interpreter.
func descends(pid int, programs []string) bool {
	for range deepest {
		proc := "/proc/" + strconv.Itoa(pid)
		text, err := os.ReadFile(proc + "/cmdline")
		if err != nil {
			return false
		}
		for i, word := range bytes.SplitN(text, []byte{0}, 4) {
			for _, p := range programs {
				if i < 3 && path.Base(string(word)) == p {
					return true
				}
			}
		}
		if pid = parentOf(proc); pid <= 1 {
			return false
		}
	}
	return false
}

// parentOf reads a process's parent from its status (proc(5)); 0 when there is none.
func parentOf(proc string) int {
	text, err := os.ReadFile(proc + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "PPid:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			return n
		}
	}
	return 0
}

// devices are this machine's nodes for the harmless ones.
var devices = map[[2]uint32]string{{1, 3}: "null", {1, 5}: "zero", {1, 7}: "full", {1, 8}: "random", {1, 9}: "urandom", {5, 0}: "tty"}

// shown is a node to bind in a root.
type shown struct {
	broker.PlacedNode
	inside string
	tree   *os.File
}

// nodesBelow clones this machine's nodes for the files below a path that stand for them. The clones are made here, where
// the machine's files are, and attached in another mount namespace.
func (k *keeper) nodesBelow(top string) []shown {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []shown
	for _, n := range k.nodes {
		inside, below := strings.CutPrefix(n.Path, strings.TrimSuffix(top, "/")+"/")
		name := devices[[2]uint32{n.Major, n.Minor}]
		if !below || name == "" {
			continue
		}
		if tree := device(name, n.Major, n.Minor); tree != nil {
			all = append(all, shown{n, inside, tree})
		}
	}
	return all
}

// device clones a node of this machine, read-only: its mode and owner are the machine's; nil if it isn't the right one.
func device(name string, major, minor uint32) *os.File {
	var st unix.Stat_t
	file := "/host/dev/" + name
	if unix.Lstat(file, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || unix.Major(st.Rdev) != major || unix.Minor(st.Rdev) != minor {
		return nil
	}
	tree, err := mount.Clone(nil, file, false)
	if err != nil {
		return nil
	}
	if err := mount.SetAttributes(tree, mount.ReadOnly|mount.NoExec|mount.NoSuid, false); err != nil {
		tree.Close()
		return nil
	}
	return tree
}

// show binds the nodes in a root of the mount namespace that the calling thread is in. A file that was replaced meanwhile
// isn't ours; where a node can't be bound, the file that stands for it stays.
func show(nodes []shown, root *os.File) {
	for _, n := range nodes {
		f, err := fd.Open(root, n.inside, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(int(f.Fd()), &st) == nil && st.Ino == n.Ino && st.Dev == n.Dev {
			_ = mount.Attach(n.tree, f)
		}
		f.Close()
	}
}

func closeNodes(nodes []shown) {
	for _, n := range nodes {
		n.tree.Close()
	}
}

// placeholders lists the files that still stand for device nodes, when the builder has ended.
func (k *keeper) placeholders() []string {
	var names []string
	for _, n := range k.nodes {
		var st unix.Stat_t
		if unix.Lstat("/host"+n.Path, &st) == nil && st.Ino == n.Ino && st.Dev == n.Dev {
			names = append(names, n.Path)
		}
	}
	return names
}
