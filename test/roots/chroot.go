package roots

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Chroot is what crossroot is compared with: chroot(8) into a root, foreign executables run by qemu-user through the
// kernel's handler. So that the host keeps its own binfmt_misc and mounts, it happens in namespaces; the ids are mapped
// to themselves for real root.
type Chroot struct {
	Root string
	Arch Arch
	// Plain leaves the user namespace out: real root only, and only where no emulator is needed.
	Plain bool
	// Proc mounts /proc inside, for which the root must be the caller's own.
	Proc bool
	// Proot enters by `proot -q` (ptrace) instead of chroot and the kernel's handler.
	Proot bool
}

// setup mounts what a chroot needs and enters it: $1 root, $2 binfmt_misc's registration or nothing, $3 the emulator
// for proot or nothing, $4 whether to mount /proc inside. Device nodes that a user's copy of the root lacks are the host's.
const setup = `set -e
root=$1 register=$2 proot=$3 proc=$4; shift 4
mount --make-rprivate /
mount -t proc proc /proc
if [ "$register" ]; then
	mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
	printf %s "$register" >/proc/sys/fs/binfmt_misc/register
fi
if ! [ -e "$root/dev/null" ]; then
	mkdir -p "$root/dev"
	mount -t tmpfs -o mode=755 dev "$root/dev"
	mkdir "$root/dev/pts" "$root/dev/shm"
	for node in null zero full random urandom tty; do
		: >"$root/dev/$node"
		mount --bind "/dev/$node" "$root/dev/$node"
	done
	ln -s /proc/self/fd "$root/dev/fd"
fi
if [ "$proc" ]; then
	mount -t proc proc "$root/proc"
fi
if [ "$proot" ]; then
	exec proot -q "$proot" -r "$root" -w / -0 -b /dev "$@"
fi
exec chroot "$root" "$@"`

// Run runs a command in the chroot with a small environment. Its output goes to stdout; nil keeps it for the error.
func (c Chroot) Run(ctx context.Context, stdout io.Writer, args ...string) error {
	register, err := c.register()
	if err != nil {
		return err
	}
	proot := ""
	if c.Proot {
		register, proot = "", c.Arch.Qemu
	}
	proc := ""
	if c.Proc {
		proc = "proc"
	}
	cmd := command{
		args:   append([]string{"/bin/sh", "-c", setup, "sh", c.Root, register, proot, proc}, args...),
		name:   strings.Join(args, " ") + " in " + c.Root,
		env:    append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C"}, c.Arch.Env...),
		flags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		stdout: stdout,
	}
	if c.Plain {
		if os.Getuid() != 0 || register != "" {
			return fmt.Errorf("plain chroot into %s: needs real root and a root of this CPU", c.Root)
		}
		return cmd.run(ctx)
	}
	cmd.flags |= syscall.CLONE_NEWUSER
	// mknod is refused in a user namespace, and debootstrap tries it unless this variable is set. No maintainer
	// script of the minbase set looks at it.
	cmd.env = append(cmd.env, "container=lxc")
	if cmd.ids, err = ids(); err != nil {
		return err
	}
	return cmd.run(ctx)
}

// register is the line that makes the emulator the handler of the root's executables. Flag F opens it outside the
// chroot; P, O and C are what Debian's own qemu-user-static package sets.
func (c Chroot) register() (string, error) {
	if c.Arch.Qemu == "" {
		return "", nil
	}
	emulator, err := exec.LookPath(c.Arch.Qemu)
	if err != nil {
		return "", fmt.Errorf("find emulator: %w", err)
	}
	return fmt.Sprintf(":%s:M::%s:%s:%s:POCF", c.Arch.Qemu, c.Arch.magic, c.Arch.mask, emulator), nil
}
