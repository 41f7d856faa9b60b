package wrap

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Handlers that the machine has for other things than executables for another CPU go on working. The machine is one of
// the test's own: a user namespace with a table, which only root can make with enough ids.
func TestOtherHandlers(t *testing.T) {
	if !isRoot() {
		return
	}
	b := Setup(t)
	b.must(os.WriteFile(filepath.Join(b.dir, "x.exe"), []byte("MZ by magic\n"), 0o755))
	b.must(os.WriteFile(filepath.Join(b.dir, "y.crjar"), []byte("by name\n"), 0o755))
	c := b.command(b.Context(), "")
	c.Path, c.Args = "/bin/sh", []string{"sh", "-c", `set -e
T=/proc/sys/fs/binfmt_misc
mount -t binfmt_misc b $T
echo ':mz:M::MZ::/usr/bin/head:' > $T/register
echo ':crjar:E::crjar::/usr/bin/tail:' > $T/register
echo ':qemu-arm:M::\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/bin/false:' > $T/register
$CROSSROOT wrap -- sh -c './x.exe; ./y.crjar; chroot $R uname -m'
echo -1 > $T/mz; $CROSSROOT wrap -- ./x.exe 2>/dev/null || echo unknown`}
	all := []syscall.SysProcIDMap{{Size: 65536}}
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true,
	}
	if out, err := c.CombinedOutput(); err != nil || string(out) != "MZ by magic\nby name\n"+native+"unknown\n" {
		b.Errorf("%v: %s", err, out)
	}
}
