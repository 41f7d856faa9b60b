package doctor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/session"
)

// Advice is the way out of a failure that the machine is to blame for, one line; "" when there is nothing to say. The
// errors of `run` and the findings of `doctor` have it from here, so that they agree.
func Advice(kind session.Kind, err error, e Environment) string {
	var errno syscall.Errno
	errors.As(err, &errno)
	if errno == syscall.ENOSYS {
		return kernelAdvice(e)
	}
	switch kind {
	case session.KindUserns:
		return namespaceAdvice(errno, e)
	case session.KindSubIDs:
		return idAdvice(err, e)
	case session.KindContainer:
		return "start the container with 65536 ids for its root (docker: userns-remap, podman: --uidmap and --gidmap), or with the real root"
	case session.KindRights:
		return deniedAdvice(e)
	case session.KindKernel:
		return kernelAdvice(e)
	case session.KindProc:
		return procAdvice(e)
	case session.KindBinfmt:
		return binfmtAdvice(errno, e)
	case session.KindOverlay:
		return overlayAdvice(errno, e)
	}
	return ""
}

// namespaceAdvice explains why no namespace could be made (clone(2), ERRORS).
func namespaceAdvice(errno syscall.Errno, e Environment) string {
	switch errno {
	case syscall.ENOSPC, syscall.EUSERS:
		for _, name := range slices.Sorted(maps.Keys(e.Sysctls)) {
			if strings.HasPrefix(name, "user.max_") && e.Sysctls[name] == "0" {
				return fmt.Sprintf("the sysctl %s is 0: as root, sysctl -w %s=10000", name, name)
			}
		}
		return "a limit on namespaces is reached, here or in a namespace above: raise the sysctls user.max_user_namespaces and user.max_*_namespaces"
	case syscall.EINVAL:
		return fmt.Sprintf("kernel %s was built without a kind of namespace (CONFIG_USER_NS and the like)", e.Release)
	case syscall.EAGAIN, syscall.ENOMEM:
		return "there are too many processes, or too little memory (ulimit -u)"
	case syscall.EROFS:
		return "/proc is mounted read-only, as in a container: " + unconfined
	}
	switch {
	case !e.Caller.Mapped():
		return fmt.Sprintf("user id %d isn't mapped in the user namespace that this process is in: start crossroot as a user who is", e.Caller.UID)
	case e.Chroot:
		return "in a chroot the kernel gives nobody a user namespace: run crossroot outside of it"
	}
	return deniedAdvice(e)
}

// deniedAdvice explains EPERM from a namespace, or in one.
func deniedAdvice(e Environment) string {
	switch {
	case e.Sysctls["kernel.unprivileged_userns_clone"] == "0" && e.Caller.UID != 0:
		return "the sysctl kernel.unprivileged_userns_clone is 0: as root, sysctl -w kernel.unprivileged_userns_clone=1"
	case e.Sysctls["kernel.apparmor_restrict_unprivileged_userns"] == "1" && e.Caller.UID != 0:
		return fmt.Sprintf("AppArmor gives user namespaces only to programs that have a profile: as root, write "+
			"`abi <abi/4.0>, profile crossroot %s flags=(unconfined) { userns, }` to /etc/apparmor.d/crossroot and run "+
			"apparmor_parser -r /etc/apparmor.d/crossroot", e.Executable)
	}
	return rightsAdvice(e)
}

// What root of a container needs, by capability number (capabilities(7)).
var neededCapabilities = []struct {
	number int
	name   string
}{{21, "CAP_SYS_ADMIN"}, {7, "CAP_SETUID"}, {6, "CAP_SETGID"}}

func (e Environment) has(capability int) bool { return e.Capabilities&(1<<capability) != 0 }

func (e Environment) missingCapabilities() []string {
	var missing []string
	for _, c := range neededCapabilities {
		if !e.has(c.number) {
			missing = append(missing, c.name)
		}
	}
	return missing
}

const unconfined = "docker run --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined " +
	"--security-opt systempaths=unconfined, or --privileged"

// rightsAdvice explains EPERM: usually a container.
func rightsAdvice(e Environment) string {
	missing := e.missingCapabilities()
	switch {
	case e.Caller.UID == 0 && len(missing) > 0:
		return fmt.Sprintf("root here lacks %s, as in a container: %s", strings.Join(missing, ", "), unconfined)
	case e.Seccomp:
		return "a seccomp filter is on this process, as in a container: " + unconfined
	}
	return ""
}

func kernelAdvice(e Environment) string {
	if e.Seccomp {
		return fmt.Sprintf("a seccomp filter (a container's) hides the call, or kernel %s lacks it; Linux 6.7 has all: %s", e.Release, unconfined)
	}
	return fmt.Sprintf("kernel %s lacks the call; Linux 6.7 or newer has all that is needed", e.Release)
}

// idAdvice says how the user gets subordinate ids.
func idAdvice(err error, e Environment) string {
	switch {
	case errors.Is(err, userns.ErrNoSubIDs):
		first := userns.FirstFree(e.Caller.SubUID, e.Caller.SubGID)
		text := fmt.Sprintf("as root: usermod --add-subuids %d-%d --add-subgids %d-%d %s", first, first+userns.Count-1, first, first+userns.Count-1, e.Caller.Name)
		if e.NewUIDMap == "" {
			text += ", and install newuidmap (Debian: package uidmap)"
		}
		return text + "; or run crossroot as root"
	case e.NewUIDMap == "":
		return "install newuidmap and newgidmap (Debian: package uidmap; elsewhere shadow), or run crossroot as root"
	case e.NoNewPrivs:
		return "no_new_privs is set on this process (a container or a service manager does that), which takes newuidmap its rights: start crossroot without it, or as root"
	case !e.NewUIDMapSet:
		return fmt.Sprintf("%s has no rights: as root, chmod u+s %s %s (on a mount without nosuid)", e.NewUIDMap, e.NewUIDMap, strings.Replace(e.NewUIDMap, "newuidmap", "newgidmap", 1))
	}
	return "check that the ranges in /etc/subuid and /etc/subgid are yours alone, or run crossroot as root"
}

// procAdvice explains a refused procfs: the kernel gives a namespace only what is visible outside (fs/namespace.c,
// mount_too_revealing).
func procAdvice(e Environment) string {
	how := "docker run --security-opt systempaths=unconfined, podman run --security-opt unmask=ALL"
	if len(e.Covered) == 0 {
		return "the kernel allows a new /proc only where the old one is mounted, readable and writable, with nothing over it: " + how
	}
	return fmt.Sprintf("%s is covered by a mount, as in a container, and under such a /proc no new one is allowed: umount it, or %s", e.Covered[0], how)
}

// NeedBinfmt says which kernel has handlers of foreign executables for namespaces.
const NeedBinfmt = "binfmt_misc in user namespaces needs Linux 6.7 or newer"

func binfmtAdvice(errno syscall.Errno, e Environment) string {
	switch errno {
	case syscall.ENODEV:
		return "the module binfmt_misc isn't loaded: as root, modprobe binfmt_misc (" + NeedBinfmt + "; this is " + e.Release + ")"
	case syscall.EPERM:
		return NeedBinfmt + "; this is " + e.Release
	case syscall.EACCES:
		return "the dispatcher lies in the cache directory, which must be on a mount without noexec: set CROSSROOT_CACHE to another"
	}
	return NeedBinfmt
}

func overlayAdvice(errno syscall.Errno, e Environment) string {
	switch errno {
	case syscall.ENODEV:
		return "the module overlay isn't loaded: as root, modprobe overlay"
	case syscall.EPERM:
		return "overlay in user namespaces needs Linux 5.11 or newer; this is " + e.Release
	}
	return "an overlay can't lie over this file system: copy the root to ext4, xfs, btrfs or tmpfs"
}

func listenerAdvice(err error, e Environment) string {
	if errors.Is(err, syscall.EBUSY) {
		return "another program already answers this process's calls (a container manager's interception, or another crossroot): start crossroot outside of it"
	}
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) {
		return fmt.Sprintf("kernel %s was built without it (CONFIG_SECCOMP_FILTER), or is older than Linux 5.0", e.Release)
	}
	return rightsAdvice(e)
}

func peerAdvice(e Environment) string {
	if e.Sysctls["kernel.yama.ptrace_scope"] == "3" {
		return "the sysctl kernel.yama.ptrace_scope is 3, which forbids it to everybody until the next boot: set it to 1 or 2 at boot"
	}
	return rightsAdvice(e)
}
