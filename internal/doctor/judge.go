package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// Target is what the judgement of the machine depends on in ROOT; the zero value is a foreign root of any kind.
type Target struct {
	Name   string // of ROOT as the user calls it; "" for none
	Arch   arch.Arch
	Native bool // the machine runs it without dispatch
}

// Findings says what the facts mean.
func (f Facts) Findings(t Target) []Finding {
	var all []Finding
	for _, judge := range []func(Target) []Finding{
		f.kernel, f.userNamespaces, f.ids, f.capabilities, f.idMapped, f.mounts, f.attributes, f.overlay, f.proc, f.sandbox,
		f.network, f.dispatch, f.devices, f.cache, f.memory, f.tools, f.emulators,
	} {
		all = append(all, judge(t)...)
	}
	return all
}

func ok(name, format string, args ...any) []Finding {
	return []Finding{{Name: name, Level: OK, Found: fmt.Sprintf(format, args...)}}
}

func bad(level Level, name, remedy, format string, args ...any) []Finding {
	return []Finding{{Name: name, Level: level, Found: fmt.Sprintf(format, args...), Remedy: remedy}}
}

// failed is a finding for an error whose remedy depends on this machine.
func (f Facts) failed(name string, kind session.Kind, err error) []Finding {
	return bad(Fail, name, Advice(kind, err, f.Environment), "%v", err)
}

// inside returns the first failure of the things tried, and whether all of them worked.
func (f Facts) inside(names ...string) (*protocol.Failure, bool) {
	worked := true
	for _, name := range names {
		result, tried := f.Inside[name]
		if result.Message != "" {
			return &result, false
		}
		worked = worked && tried
	}
	return nil, worked
}

// tried judges things that were tried inside: nothing is said about what could not be tried.
func (f Facts) tried(name string, kind session.Kind, good string, names ...string) []Finding {
	failure, worked := f.inside(names...)
	switch {
	case failure != nil:
		return f.failed(name, kind, failure)
	case worked:
		return ok(name, "%s", good)
	}
	return nil
}

func (f Facts) kernel(Target) []Finding {
	name := "kernel"
	if !f.Machine.HostSupported {
		return bad(Fail, name, "run crossroot on an amd64 or arm64 machine", "this machine's CPU is %s", arch.Host().Name)
	}
	if len(f.MissingCalls) == 0 {
		return ok(name, "Linux %s, all system calls that a run makes", f.Release)
	}
	var names []string
	for _, c := range f.MissingCalls {
		names = append(names, fmt.Sprintf("%s (Linux %s)", c.Name, c.Since))
	}
	return bad(Fail, name, kernelAdvice(f.Environment), "no %s", strings.Join(names, ", "))
}

func (f Facts) userNamespaces(Target) []Finding {
	name := "namespaces"
	if f.SpawnErr != nil {
		what := "no namespaces"
		if len(f.Kinds) > 0 {
			what = "no " + strings.Join(f.Kinds, ", ") + " namespace"
		}
		return bad(Fail, name, Advice(session.KindUserns, f.SpawnErr, f.Environment), "%s: %v", what, f.SpawnErr)
	}
	return f.tried(name, session.KindUserns, "user, mount, pid, network, ipc, uts, cgroup", tryPID)
}

func (f Facts) ids(Target) []Finding {
	name := "ids"
	switch {
	case f.IDsErr != nil && errors.Is(f.IDsErr, userns.ErrFewIDs):
		return f.failed(name, session.KindContainer, f.IDsErr)
	case f.IDsErr != nil:
		return f.failed(name, session.KindSubIDs, f.IDsErr)
	case f.MapErr != nil && f.IDs.Helper:
		return f.failed(name, session.KindSubIDs, f.MapErr)
	case f.MapErr != nil:
		return f.failed(name, session.KindUserns, f.MapErr)
	case f.SpawnErr != nil:
		return nil
	case f.IDs.Helper:
		return ok(name, "%s, and %d subordinate ids from %d by newuidmap", f.Caller.Name, f.IDs.UIDs[1].Size, f.IDs.UIDs[1].Outside)
	case !f.Caller.Initial():
		return ok(name, "root of a container: its own ids")
	}
	return ok(name, "root: 0 to %d inside are %d to %d outside", userns.Count-1, userns.Shift, userns.Shift+userns.Count-1)
}

func (f Facts) capabilities(Target) []Finding {
	const mknod = 27
	if f.Caller.UID != 0 || !f.Caller.Initial() || f.has(mknod) {
		return nil
	}
	return bad(Warn, "capabilities", "docker run --cap-add MKNOD", "root here lacks CAP_MKNOD: device nodes that packages make are left out")
}

func (f Facts) idMapped(t Target) []Finding {
	name := "idmapped mounts"
	where := "where crossroot itself lies; ROOT may lie elsewhere"
	if t.Name != "" {
		where = "of " + t.Name
	}
	switch {
	case !f.IDMapped:
		return nil
	case f.IDMapErr != nil:
		return bad(Warn, name, "runs work with less protection: root inside is root outside. Put the root on ext4, xfs, btrfs or (Linux 6.3) tmpfs", "none %s: %v", where, f.IDMapErr)
	}
	return ok(name, "can be made %s", where)
}

func (f Facts) mounts(Target) []Finding {
	if f.CloneErr != nil {
		return f.failed("mounts", session.KindRights, f.CloneErr)
	}
	return f.tried("mounts", session.KindRights, "tmpfs, devpts, pivot_root", tryStage, tryPty)
}

func (f Facts) attributes(Target) []Finding {
	failure, worked := f.inside(tryAttrs)
	switch {
	case failure != nil:
		return bad(Fail, "attributes", "a tmpfs has user attributes since Linux 6.6; until then use --spool disk", "%v", failure)
	case worked:
		return ok("attributes", "a tmpfs keeps user attributes")
	}
	return nil
}

func (f Facts) overlay(t Target) []Finding {
	good, names := "with userxattr, and deletions in it", []string{tryOverlay}
	if t.Name != "" {
		good, names = "over "+t.Name+", with userxattr", []string{tryOverlay, tryRoot}
	}
	return f.tried("overlay", session.KindOverlay, good, names...)
}

func (f Facts) proc(Target) []Finding {
	return f.tried("/proc", session.KindProc, "a new one can be mounted", tryProc)
}

func (f Facts) sandbox(Target) []Finding {
	name := "sandbox"
	if failure, _ := f.inside(tryInner); failure != nil {
		return f.failed(name, session.KindUserns, failure)
	}
	if failure, _ := f.inside(tryListener); failure != nil {
		return bad(Fail, name, listenerAdvice(failure, f.Environment), "seccomp user notification: %v", failure)
	}
	if failure, _ := f.inside(tryPeer); failure != nil {
		return bad(Fail, name, peerAdvice(f.Environment), "descriptors of the command's processes: %v", failure)
	}
	return f.tried(name, session.KindRights, "inner user namespace, seccomp listener, pidfd_getfd", tryInner, tryListener, tryPeer)
}

func (f Facts) network(Target) []Finding {
	failure, _ := f.inside(tryLoopback)
	if failure == nil {
		return nil
	}
	return bad(Warn, "network", "commands that talk to themselves over 127.0.0.1 will fail: use --net host", "no loopback interface inside: %v", failure)
}

func (f Facts) dispatch(t Target) []Finding {
	found := f.tried("binfmt_misc", session.KindBinfmt, "own table; a foreign executable reached its handler", tryHandlers, tryDispatch)
	if t.Native && len(found) > 0 && found[0].Level == Fail {
		found[0].Level = Warn
		found[0].Remedy = "not needed for " + t.Name + ", which this machine runs itself"
	}
	return found
}

func (f Facts) devices(Target) []Finding {
	if f.DevicesErr == nil {
		return nil
	}
	text := strings.ReplaceAll(f.DevicesErr.Error(), "\n", "; ")
	return bad(Fail, "devices", "give the container a usual /dev", "%s", text)
}

func (f Facts) cache(Target) []Finding {
	name := "cache"
	m := f.Machine
	const little = 256 << 20 // a tool root takes some 100 MB
	switch {
	case m.DirsErr != nil:
		return bad(Fail, name, "set CROSSROOT_CACHE to a directory of your own", "%v", m.DirsErr)
	case m.CacheExecErr != nil:
		return bad(Fail, name, "set CROSSROOT_CACHE to a directory on a mount without noexec", "%v (mounted %s)", m.CacheExecErr, m.CacheMount.Flags)
	case m.CacheFree < little && m.Tools == nil:
		return bad(Warn, name, "the tool root needs some 100 MB there: set CROSSROOT_CACHE to another place", "%s, %s free", m.Dirs.Cache, size(m.CacheFree))
	}
	return ok(name, "%s, %s free", m.Dirs.Cache, size(m.CacheFree))
}

func (f Facts) memory(Target) []Finding {
	const little = 512 << 20
	limit := f.Machine.MemoryFree / 2
	if limit < little {
		return bad(Warn, "memory", "runs that change much will need --spool disk", "changes may take %s in memory", size(limit))
	}
	return ok("memory", "changes may take %s", size(limit))
}

func (f Facts) tools(t Target) []Finding {
	name := "tool root"
	m := f.Machine
	switch {
	case m.DirsErr != nil || t.Native:
		return nil
	case m.Tools != nil:
		return ok(name, "%d programs, %s, made from %s", len(m.Tools.Tools), size(m.Tools.Bytes), m.Tools.Source)
	case errors.Is(m.ToolsErr, toolroot.ErrNotBuilt):
		return ok(name, "not built yet: the first run does it, once (crossroot tools build)")
	case errors.Is(m.ToolsErr, toolroot.ErrNoPrograms):
		return bad(Warn, name, "everything is emulated; give a native root with --tools DIR", "this machine has no programs that could run inside")
	}
	return bad(Fail, name, "crossroot tools build shows more", "%v", m.ToolsErr)
}

func (f Facts) emulators(t Target) []Finding {
	name := "emulators"
	if t.Native {
		return nil
	}
	const install = "install qemu-user-static (Debian, Fedora): static emulators run in any root"
	var static, dynamic []string
	version := ""
	for _, e := range f.Machine.Emulators {
		if e.Version != "" {
			version = " " + e.Version
		}
		if e.Static {
			static = append(static, e.Arch.Name)
		} else {
			dynamic = append(dynamic, e.Arch.Name)
		}
		if t.Name != "" && e.Arch.Name == t.Arch.Name && e.Static {
			return ok(name, "qemu%s for %s: %s, static", version, t.Arch.Name, e.Path)
		}
	}
	switch {
	case t.Name != "" && slices.Contains(dynamic, t.Arch.Name):
		return bad(Warn, name, install, "the emulator for %s is dynamically linked: what needs it can't run", t.Arch.Name)
	case t.Name != "":
		return bad(Warn, name, install, "none for %s: what can't run native can't run", t.Arch.Name)
	case len(static) > 0:
		return ok(name, "qemu%s, static, for %d CPUs: %s", version, len(static), few(static, 4))
	case len(dynamic) > 0:
		return bad(Warn, name, install, "qemu%s is dynamically linked: what needs it can't run", version)
	}
	return bad(Warn, name, install, "none found: what can't run native can't run")
}

func few(names []string, most int) string {
	if len(names) > most {
		return strings.Join(names[:most], ", ") + "…"
	}
	return strings.Join(names, ", ")
}

// size writes bytes for people.
func size(n int64) string {
	switch {
	case n >= 10e9:
		return fmt.Sprintf("%d GB", n/1e9)
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
	return fmt.Sprintf("%d MB", n/1e6)
}
