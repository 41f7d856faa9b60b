package keeper

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
)

// again opens the executable in the namespace into which its process went: the descriptor that it has is one of the
// namespace that it left, in which its path leads elsewhere.
func (k *keeper) again(r seccomp.Request, proc, name string, before *os.File) (*os.File, error) {
	top, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(before.Fd())))
	if err != nil {
		return nil, err
	}
	inside, ok := strings.CutPrefix(name, strings.TrimSuffix(top, "/"))
	if !ok {
		return nil, unix.EXDEV
	}
	root, err := os.OpenFile(proc+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := fd.OpenRegular(root, inside)
	if err != nil {
		return nil, err
	}
	old, err := broker.Descriptor(r.PID, int(int32(r.Args[1])))
	if err != nil {
		file.Close()
		return nil, err
	}
	defer old.Close()
	var a, b unix.Stat_t
	if unix.Fstat(int(old.Fd()), &a) != nil || unix.Fstat(int(file.Fd()), &b) != nil || a.Dev != b.Dev || a.Ino != b.Ino {
		file.Close()
		return nil, unix.ESTALE
	}
	return file, nil
}

// examine tells the architecture and the path of the executable behind a request's descriptor.
func (k *keeper) examine(r seccomp.Request) (arch.Arch, string, error) {
	f, err := broker.Descriptor(r.PID, int(int32(r.Args[1])))
	if err != nil {
		return arch.Arch{}, "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return arch.Arch{}, "", err
	}
	if !info.Mode().IsRegular() {
		return arch.Arch{}, "", unix.ENOEXEC
	}
	image, err := elfimage.Open(f, info.Size())
	if err != nil {
		return arch.Arch{}, "", unix.ENOEXEC
	}
	a, ok := arch.IdentifyProgram(image.Header, image.Interp())
	if !ok || a.RunsNativelyOn(arch.Host()) {
		return arch.Arch{}, "", unix.ENOEXEC
	}
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err == nil && image.Interp() == "" {
		a, err = rootArch(r.PID, a)
	}
	return a, name, err
}

// telling are executables that nearly every root has, in the order of trust.
var telling = []string{"bin/sh", "usr/bin/sh", "usr/bin/dpkg", "bin/busybox", "usr/bin/busybox", "usr/bin/env", "sbin/init", "usr/sbin/init"}

// rootArch is the architecture of a process's root, where a static executable for a doesn't tell it from its relatives. A
// root that has nothing yet isn't attached to: what it becomes isn't known.
func rootArch(pid int, a arch.Arch) (arch.Arch, error) {
	root, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return a, err
	}
	defer root.Close()
	for _, name := range telling {
		f, err := fd.OpenRegular(root, name)
		if err != nil {
			continue
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			continue
		}
		image, err := elfimage.Open(f, info.Size())
		f.Close()
		if err != nil {
			continue
		}
		if found, ok := arch.IdentifyProgram(image.Header, image.Interp()); ok {
			return found, nil
		}
	}
	return a, unix.ENOENT
}
