package keeper

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/kernel/mount"
)

// Root of a chroot, whatever it does to its mounts, must not write into a hidden directory: the keeper follows the paths
// there. What processes see of one is therefore an idmapped mount on which its owner is nobody, over whose files no right
// of the builder's user namespace reaches.

// nobody opens a user namespace in which no owner of a hidden directory has an id. A child keeps it alive until it is open.
func nobody() (*os.File, error) {
	conn, theirs, err := fdsock.Pair()
	if err != nil {
		return nil, err
	}
	defer conn.Close() // which ends the child: it waits for a setup
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	other := []syscall.SysProcIDMap{{ContainerID: 1, HostID: 0, Size: 1}}
	child, err := os.StartProcess("/proc/self/exe", []string{Name}, &os.ProcAttr{
		Env: []string{}, Files: []*os.File{null, null, null, theirs},
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: other, GidMappings: other},
	})
	if err != nil {
		return nil, fmt.Errorf("make a user namespace: %w", err)
	}
	defer func() {
		_ = child.Kill()
		_, _ = child.Wait()
	}()
	return os.Open("/proc/" + strconv.Itoa(child.Pid) + "/ns/user")
}

// makeView makes the view of a hidden directory.
func (k *keeper) makeView(r *root) error {
	tree, err := mount.Clone(nil, r.dir, false)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := mount.SetAttributes(tree, mount.ReadOnly, false); err != nil {
		return err
	}
	if err := mount.IDMap(tree, k.nobody); err != nil {
		return err
	}
	if err := os.Mkdir(r.view, 0o755); err != nil {
		return err
	}
	return mount.AttachAt(tree, r.view)
}
