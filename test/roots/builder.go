package roots

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/crossroot/crossroot/internal/kernel/userns"
)

// Emulated runs a host's command, such as a builder of roots, where the kernel's handler gives foreign executables to
// qemu-user in whatever chroot they are started: what `crossroot wrap` is compared with. It happens in namespaces; ids are
// mapped as wrap does it, for by the map of all ids container tools take a namespace for the machine's own.
func Emulated(ctx context.Context, a Arch, stdout io.Writer, args ...string) error {
	register, err := Chroot{Arch: a}.register()
	if err != nil {
		return err
	}
	const setup = `set -e
register=$1; shift
mount --make-rprivate /
mount -t proc proc /proc
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf %s "$register" >/proc/sys/fs/binfmt_misc/register
exec "$@"`
	c := command{
		args: append([]string{"/bin/sh", "-c", setup, "sh", register}, args...), name: args[0],
		env:    append(os.Environ(), a.Env...),
		flags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC,
		stdout: stdout,
	}
	if c.ids, err = ids(); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		most := []userns.Range{{Size: 1<<32 - 2}}
		c.ids = userns.Map{UIDs: most, GIDs: most}
	}
	return c.run(ctx)
}

// Mmdebstrap is the command that makes a root of the machine's own release and mirror, for any architecture and as a tar
// whose bytes depend on nothing else.
func Mmdebstrap(ctx context.Context, arch, tar string, options ...string) ([]string, error) {
	s, err := readSource(ctx)
	if err != nil {
		return nil, err
	}
	signed := ""
	if s.keyring != "" {
		signed = "[signed-by=" + s.keyring + "] "
	}
	args := append([]string{"env", "SOURCE_DATE_EPOCH=1700000000", "mmdebstrap", "--quiet", "--arch=" + arch}, options...)
	return append(args, s.suite, tar, fmt.Sprintf("deb %s%s %s main", signed, s.mirror, s.suite)), nil
}
