package worker

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/protocol"
)

// hiddenInodes bounds the exec map, which grows with what scripts ask for: names and links take memory that a tmpfs's
// size doesn't count. What finds no room is emulated by descriptor.
const hiddenInodes = "128k"

// hidden fills the hidden directory /.cr in the worker's view and binds it, read-only, into the merged root.
func (w *worker) hidden() error {
	cr := protocol.HiddenDir
	if err := os.Mkdir(cr, 0o755); err != nil {
		return err
	}
	tmpfs, err := mount.New("tmpfs", mount.NoDev, mount.Option{Key: "size", Value: "64m"}, mount.Option{Key: "nr_inodes", Value: hiddenInodes}, mount.Option{Key: "mode", Value: "755"})
	if err != nil {
		return err
	}
	defer tmpfs.Close()
	if err := mount.AttachAt(tmpfs, cr); err != nil {
		return err
	}
	for _, dir := range []string{"/proc", "/do", "/exe", "/perl", "/t"} {
		if err := os.Mkdir(cr+dir, 0o755); err != nil {
			return err
		}
	}
	if err := bindFile("/image", cr+"/self", mount.ReadOnly|mount.NoDev); err != nil {
		return err
	}
	if err := w.recordFile(); err != nil {
		return err
	}
	if err := w.locales(); err != nil { // before the tool root's own, which gives way
		return err
	}
	if err := w.tools(); err != nil {
		return err
	}
	for _, e := range w.setup.Emulators {
		if err := os.MkdirAll(cr+"/"+e.Arch, 0o755); err != nil {
			return err
		}
		if e.Tool != "" {
			if err := os.Symlink(e.Tool, cr+"/"+e.Arch+"/qemu"); err != nil {
				return err
			}
			continue
		}
		if err := bindFile("/emulator/"+e.Arch, cr+"/"+e.Arch+"/qemu", mount.ReadOnly|mount.NoDev); err != nil {
			return err
		}
	}
	here, err := os.OpenFile(cr, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer here.Close()
	clone, err := mount.Clone(here, "", true)
	if err != nil {
		return err
	}
	defer clone.Close()
	if err := mount.SetAttributes(clone, mount.ReadOnly|mount.NoDev, false); err != nil {
		return err
	}
	return mount.AttachAt(clone, "/merged"+cr)
}

// recordLimit bounds the record of executions: about 150,000 of them.
const recordLimit = 16 << 20

// recordFile makes /.cr/log, the only thing in the hidden directory that scripts can write: on a file system of its
// own, so that it can fill nothing else.
func (w *worker) recordFile() error {
	if err := os.Mkdir("/record", 0o755); err != nil {
		return err
	}
	tmpfs, err := mount.New("tmpfs", mount.NoDev|mount.NoExec|mount.NoSuid, mount.Option{Key: "size", Value: strconv.Itoa(recordLimit)}, mount.Option{Key: "mode", Value: "755"})
	if err != nil {
		return err
	}
	defer tmpfs.Close()
	if err := mount.AttachAt(tmpfs, "/record"); err != nil {
		return err
	}
	if err := os.WriteFile("/record/log", nil, 0o666); err != nil {
		return err
	}
	return bindFile("/record/log", protocol.HiddenDir+"/log", mount.NoDev|mount.NoExec|mount.NoSuid)
}

// tools mounts the tool root on /.cr/t: an overlay without an upper, so that not even a running program's descriptor
// can be written through; its directories appear in /.cr as symlinks.
func (w *worker) tools() error {
	lower := w.toolLayers()
	if lower == "" {
		return nil
	}
	return mountTools(lower)
}

// mountTools mounts layers, each followed by a colon, on /.cr/t, over what is there.
func mountTools(lower string) error {
	if err := os.MkdirAll("/tools/none", 0o755); err != nil {
		return err
	}
	lower += "/tools/none"
	overlay, err := mount.New("overlay", mount.ReadOnly|mount.NoSuid|mount.NoDev, mount.Option{Key: "lowerdir", Value: lower}, mount.Option{Key: "userxattr"})
	if err != nil {
		return fmt.Errorf("mount the tool root: %w", err)
	}
	defer overlay.Close()
	at := protocol.HiddenDir + "/t"
	if err := mount.AttachAt(overlay, at); err != nil {
		return err
	}
	names, err := os.ReadDir(at)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := os.Symlink("t/"+n.Name(), protocol.HiddenDir+"/"+n.Name()); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// locales shows native programs the target's compiled locales, whose files are the same for CPUs of one byte order; the
// C library refuses files of another format by itself.
func (w *worker) locales() error {
	target, ok := arch.Lookup(w.setup.Arch)
	if !ok || w.setup.ToolBase == nil || target.LittleEndian() != arch.Host().LittleEndian() {
		return nil
	}
	return os.Symlink("/usr/lib/locale", protocol.HiddenDir+"/locale")
}

// toolLayers lists the directories of the tool root, the topmost first, each followed by a colon.
func (w *worker) toolLayers() string {
	lower := ""
	if w.setup.ToolExtra != nil {
		lower += "/tools/extra:"
	}
	if w.setup.ToolBase != nil {
		lower += "/tools/base:"
	}
	for _, e := range w.setup.Emulators {
		if e.Tool != "" {
			lower += "/emulator/" + e.Arch + ":"
		}
	}
	return lower
}

// devices mounts a minimal /dev, 0755 so that opening a device with O_CREAT works, and the run's own devpts.
func (w *worker) devices(merged *os.File) error {
	target, err := fd.Open(merged, "dev", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &Error{Kind: "mountpoint", Path: "/dev", Err: err}
	}
	defer target.Close()
	dev, err := mount.New("tmpfs", mount.NoSuid|mount.NoExec, mount.Option{Key: "size", Value: "4m"}, mount.Option{Key: "nr_inodes", Value: "4k"}, mount.Option{Key: "mode", Value: "755"})
	if err != nil {
		return err
	}
	defer dev.Close()
	if err := mount.Attach(dev, target); err != nil {
		return err
	}
	at := mount.FDPath(dev)
	for _, d := range devices {
		if err := bindFile("/dev/"+d.name, at+"/"+d.name, mount.ReadOnly|mount.NoExec|mount.NoSuid); err != nil {
			return err
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(to, at+"/"+name); err != nil {
			return err
		}
	}
	pts, err := mount.New("devpts", mount.NoSuid|mount.NoExec, mount.Option{Key: "mode", Value: "620"}, mount.Option{Key: "gid", Value: "5"}, mount.Option{Key: "ptmxmode", Value: "666"})
	if err != nil {
		return err
	}
	shm, err := mount.New("tmpfs", mount.NoSuid|mount.NoDev, mount.Option{Key: "size", Value: "256m"}, mount.Option{Key: "nr_inodes", Value: "64k"}, mount.Option{Key: "mode", Value: "1777"})
	if err != nil {
		return err
	}
	for name, tree := range map[string]*os.File{"pts": pts, "shm": shm} {
		if err := os.Mkdir(at+"/"+name, 0o755); err != nil {
			return err
		}
		if err := mount.AttachAt(tree, at+"/"+name); err != nil {
			return err
		}
		tree.Close()
	}
	return nil
}

// binds attaches what --bind names, and the name servers for --net host.
func (w *worker) binds(merged *os.File) error {
	for i, b := range w.setup.Binds {
		if err := w.bind(merged, b, "/bind/"+strconv.Itoa(i)); err != nil {
			return &Error{Kind: "bind", Path: b.Target, Err: err}
		}
	}
	if w.setup.NetHost && len(w.setup.Resolv) > 0 {
		if err := os.WriteFile("/resolv.conf", w.setup.Resolv, 0o644); err != nil {
			return err
		}
		if err := w.bind(merged, protocol.Bind{Target: "/etc/resolv.conf"}, "/resolv.conf"); err != nil {
			w.warn("no name servers for the network: bind /etc/resolv.conf: %v", err)
		}
	}
	return nil
}

// bind attaches a clone of source (a path of the stage) at the target inside.
func (w *worker) bind(merged *os.File, b protocol.Bind, source string) error {
	src, err := os.OpenFile(source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	var from, to unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &from); err != nil {
		return err
	}
	target, err := w.openTarget(merged, b.Target, from.Mode&unix.S_IFMT == unix.S_IFDIR)
	if err != nil {
		return err
	}
	defer target.Close()
	if err := unix.Fstat(int(target.Fd()), &to); err != nil {
		return err
	}
	if (from.Mode&unix.S_IFMT == unix.S_IFDIR) != (to.Mode&unix.S_IFMT == unix.S_IFDIR) {
		return fmt.Errorf("%s is %s, but %s is %s", b.Source.Path, fd.TypeName(from.Mode), b.Target, fd.TypeName(to.Mode))
	}
	if to.Mode&unix.S_IFMT != unix.S_IFDIR && to.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s is %s", b.Target, fd.TypeName(to.Mode))
	}
	clone, err := mount.Clone(src, "", true)
	if err != nil {
		return err
	}
	defer clone.Close()
	attributes := uint64(mount.NoDev)
	if b.ReadOnly {
		attributes |= mount.ReadOnly
	}
	if err := mount.SetAttributes(clone, attributes, true); err != nil {
		return err
	}
	return mount.Attach(clone, target)
}

// bindFile binds a file of the stage on a new file, with mount attributes. Read-only is what keeps a script from the
// file itself, which is the host's: its mode, owner and times, and its content but for a device's.
func bindFile(source, target string, attributes uint64) error {
	f, err := os.OpenFile(source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	clone, err := mount.Clone(f, "", false)
	if err != nil {
		return err
	}
	defer clone.Close()
	if err := mount.SetAttributes(clone, attributes, false); err != nil {
		return err
	}
	if err := os.WriteFile(target, nil, 0o644); err != nil {
		return err
	}
	if strings.HasPrefix(target, "/proc/self/fd/") {
		dir, err := os.OpenFile(path.Dir(target), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer dir.Close()
		return attachIn(clone, dir, path.Base(target))
	}
	return mount.AttachAt(clone, target)
}

// attachIn attaches a detached mount on name in an open directory.
func attachIn(tree, dir *os.File, name string) error {
	target, err := fd.Open(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer target.Close()
	return mount.Attach(tree, target)
}
