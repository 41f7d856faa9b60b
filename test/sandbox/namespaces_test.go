package sandbox

import (
	"strings"
	"testing"
)

// C24: no further namespaces, by whatever call, and the limit can't be lifted.
func TestNestedNamespaces(t *testing.T) {
	b := Setup(t)
	b.Probes()
	for _, probe := range []string{"/probe", "/probe32"} {
		b.refusedWith(b.Works(probe+" namespaces"), "EPERM", "ENOSPC", "EROFS", "EACCES", "ENOSYS")
	}
	for _, line := range []string{
		"unshare -U true", "unshare -Ur true", "unshare -Urm true", "unshare -m true", "unshare -p -f true", "unshare -n true",
		"echo 1000 > /proc/sys/user/max_user_namespaces", "unshare -C true", "unshare -i true", "unshare -u true",
		"setpriv --reuid 33 --regid 33 --clear-groups unshare -U true",
	} {
		if out, err, code := Run(b, b.Root, line); code == 0 || code == failed {
			b.Errorf("%s: exit %d: %s%s", line, code, out, err)
		}
	}
}

// C25: the whole mount family, old and new, in every ABI of the kernel.
func TestMountFamily(t *testing.T) {
	b := Setup(t)
	b.Probes()
	before := b.Manifest(b.Root)
	for _, probe := range []string{"/probe", "/probe32"} {
		out := b.Works(probe + " mounts")
		b.refusedWith(out, "EPERM", "ENOSYS")
		if len(strings.Split(out, "\n")) < 15 {
			b.Errorf("too few answers:\n%s", out)
		}
	}
	b.Unchanged(before)
}

// C25: chroot is allowed, since package tools need it; it leads nowhere.
func TestChroot(t *testing.T) {
	b := Setup(t)
	b.Probes()
	out := b.Works(`mkdir -p /srv/c/usr/bin /srv/c/proc && cp -a /usr/bin /srv/c/usr/ && ln -s usr/bin /srv/c/bin && cp /probe /srv/c/
chroot /srv/c /probe open /etc/passwd /../../../etc/passwd /proc/1/root/etc/passwd
rm -r /srv/c`)
	b.refusedWith(out, "ENOENT")
}
