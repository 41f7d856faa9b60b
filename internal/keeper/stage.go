package keeper

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/binfmt"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/protocol"
)

// The keeper's own root, the stage, is a small tmpfs:
//
//	/host       the host's tree          /proc       the host's, for pid lookups
//	/.cr        what the kernel's table names: ARCH/entry and the procfs of the builder's pid namespace
//	/sealed/N   files of the host that nobody can write to, whatever rights a process below has
//	/tools/N    tool roots               /root/N     the hidden directory of one root
//	                                     /view/N     what processes see of it
const stageSize = "16m"

// layOut makes the stage. An overlay without an upper can't be written through, not even by its file system's owner: so
// what processes of the builder execute of the host's files comes through one.
func (k *keeper) layOut() error {
	if err := mount.Private(); err != nil {
		return err
	}
	var err error
	if k.nobody, err = nobody(); err != nil {
		return err
	}
	stage, err := mount.New("tmpfs", mount.NoDev, mount.Option{Key: "size", Value: stageSize}, mount.Option{Key: "mode", Value: "755"})
	if err != nil {
		return err
	}
	defer stage.Close()
	host := k.host
	if host == nil {
		if host, err = mount.Clone(nil, "/", true); err != nil {
			return err
		}
	}
	defer host.Close()
	if err := mount.AttachAt(stage, "/"); err != nil {
		return err
	}
	if err := mount.Pivot(stage); err != nil {
		return err
	}
	for _, dir := range []string{"/host", "/proc", "/sealed", "/tools", "/tools/none", "/root", "/view", "/procfs", protocol.HiddenDir} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := mount.AttachAt(host, "/host"); err != nil {
		return err
	}
	proc, err := mount.Clone(nil, "/host/proc", true)
	if err != nil {
		return err
	}
	defer proc.Close()
	if err := mount.AttachAt(proc, "/proc"); err != nil {
		return err
	}
	if k.hostRoot, err = identify("/host"); err != nil {
		return err
	}
	image, err := k.seal(k.setup.Image)
	if err != nil {
		return err
	}
	return os.Symlink(image, protocol.HiddenDir+"/self")
}

// attachProc takes the procfs of the builder's pid namespace, in which every process of the builder finds itself.
func (k *keeper) attachProc(proc *os.File) error {
	defer proc.Close()
	return mount.AttachAt(proc, "/procfs")
}

// seal returns where a file of the host can be executed from without anybody being able to write to it.
func (k *keeper) seal(file string) (string, error) {
	if name, ok := k.sealed[file]; ok {
		return name, nil
	}
	dir := "/sealed/" + strconv.Itoa(len(k.sealed))
	if err := k.readOnly(dir, "/host"+filepath.Dir(file)); err != nil {
		return "", fmt.Errorf("attach %s: %w", file, err)
	}
	k.sealed[file] = dir + "/" + filepath.Base(file)
	return k.sealed[file], nil
}

// readOnly mounts directories of the stage, the topmost first, on a new one as an overlay without an upper.
func (k *keeper) readOnly(at string, layers ...string) error {
	lower := ""
	for i, l := range layers {
		if l == "" {
			continue
		}
		// By names without colons and commas, whatever the host's are.
		bound := at + "-" + strconv.Itoa(i)
		if err := os.Mkdir(bound, 0o755); err != nil {
			return err
		}
		tree, err := mount.Clone(nil, l, false)
		if err != nil {
			return err
		}
		err = mount.AttachAt(tree, bound)
		tree.Close()
		if err != nil {
			return err
		}
		lower += bound + ":"
	}
	overlay, err := mount.New("overlay", mount.ReadOnly|mount.NoSuid|mount.NoDev, mount.Option{Key: "lowerdir", Value: lower + "/tools/none"}, mount.Option{Key: "userxattr"})
	if err != nil {
		return err
	}
	defer overlay.Close()
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	return mount.AttachAt(overlay, at)
}

// register makes the dispatcher the handler of every architecture's executables that this machine doesn't run itself.
func (k *keeper) register() error {
	var err error
	if k.handlers, err = binfmt.Open(); err != nil {
		return &Error{Kind: "binfmt", Err: err}
	}
	k.copyHandlers() // the last that is entered is asked first
	k.handlerOf = handlers()
	for _, a := range arch.All() {
		if k.handlerOf[a.Name] != a.Name {
			continue
		}
		dir := protocol.HiddenDir + "/" + a.Name
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := os.Symlink("../self", dir+"/entry"); err != nil {
			return err
		}
		magic, mask := a.Magic()
		if err := k.handlers.Register(a.Name, magic, mask, dir+"/entry", "POCF"); err != nil {
			return &Error{Kind: "binfmt", Err: err}
		}
	}
	return nil
}

// handlers chooses one of the architectures that the kernel can't tell apart by their first bytes: Debian's, or the first.
func handlers() map[string]string {
	chosen := map[string]string{}
	var names []arch.Arch
	for _, debian := range []bool{true, false} {
		for _, a := range arch.All() {
			if a.RunsNativelyOn(arch.Host()) || (a.Debian != "") != debian {
				continue
			}
			i := slices.IndexFunc(names, a.SharesMagic)
			if i < 0 {
				names = append(names, a)
				i = len(names) - 1
			}
			chosen[a.Name] = names[i].Name
		}
	}
	return chosen
}

// protect makes everything read-only that the caller didn't except. The builder can't undo it: its mounts are a copy for a
// user namespace with fewer rights, in which such attributes are locked.
func (k *keeper) protect() error {
	if !k.setup.Protect {
		return nil
	}
	// /proc is the kernel's own, and gives way to a new one.
	paths := append([]string{"/proc"}, k.setup.Writable...)
	if err := mount.Private(); err != nil {
		return err
	}
	// The keeper itself needs the files that lie where something empty is put.
	host, err := mount.Clone(nil, "/", true)
	if err != nil {
		return err
	}
	k.host = host
	var writable []*os.File
	for _, name := range paths {
		tree, err := mount.Clone(nil, name, true)
		if err != nil {
			return &Error{Kind: "writable", Err: err}
		}
		defer tree.Close()
		writable = append(writable, tree)
	}
	root, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := mount.SetAttributes(root, mount.ReadOnly, true); err != nil {
		return err
	}
	for _, dir := range []string{"/tmp", "/var/tmp", "/run", "/dev/shm"} {
		tmpfs, err := mount.New("tmpfs", mount.NoSuid|mount.NoDev, mount.Option{Key: "mode", Value: "1777"})
		if err != nil {
			return err
		}
		err = mount.AttachAt(tmpfs, dir)
		tmpfs.Close()
		if err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	for i, name := range paths {
		if _, err := os.Lstat(name); err != nil { // it lay below one of the new ones
			if err := mountPoint(name, writable[i]); err != nil {
				return &Error{Kind: "writable", Err: err}
			}
		}
		if err := mount.AttachAt(writable[i], name); err != nil {
			return &Error{Kind: "writable", Err: err}
		}
	}
	return nil
}

// mountPoint makes what a mount can be attached to: a directory or a file, as the mount is.
func mountPoint(name string, tree *os.File) error {
	info, err := tree.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.MkdirAll(name, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, nil, 0o644)
}
