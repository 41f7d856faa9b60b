package doctor

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
)

func TestMain(m *testing.M) {
	if code, ok := Child(os.Args[0]); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// TestGather tries everything on the machine of the test, which has to be able to run what is tested here.
func TestGather(t *testing.T) {
	t.Setenv("CROSSROOT_CACHE", t.TempDir())
	armhf, _ := arch.Lookup("armhf")
	root := t.TempDir()
	f := Gather(context.Background(), "/", root, armhf)
	for _, finding := range f.Findings(Target{Name: root, Arch: armhf}) {
		if finding.Level == Fail {
			t.Errorf("%+v", finding)
		}
	}
	for _, name := range []string{tryStage, tryAttrs, tryOverlay, tryRoot, tryHandlers, tryDispatch, tryLoopback, tryPID, tryPeer, tryProc, tryPty, tryInner, tryListener} {
		if failure, tried := f.Inside[name]; !tried || failure.Message != "" {
			t.Errorf("%s: %v, tried %v", name, failure.Message, tried)
		}
	}
}

// good are the facts of a machine on which everything works.
func good() Facts {
	f := Facts{Environment: Environment{Release: "6.12.0", Sysctls: map[string]string{}, Capabilities: 1<<41 - 1}, Inside: Tries{}}
	f.Caller = userns.Caller{UID: 1000, Name: "ann"}
	f.IDs = userns.Map{Helper: true, UIDs: []userns.Range{{Inside: 0, Outside: 1000, Size: 1}, {Inside: 1, Outside: 100000, Size: 65536}}}
	for _, name := range []string{tryStage, tryAttrs, tryOverlay, tryRoot, tryHandlers, tryDispatch, tryLoopback, tryPID, tryPeer, tryProc, tryPty, tryInner, tryListener} {
		f.Inside[name] = protocol.Failure{}
	}
	f.Machine = Machine{HostSupported: true, CacheFree: 1 << 40, MemoryFree: 1 << 40}
	return f
}

func refusedWith(errno syscall.Errno) protocol.Failure {
	return protocol.Failure{Message: errno.Error(), Errno: errno}
}

func TestFindings(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Facts)
		want   string // level, name, and a part of text and remedy
	}{
		{"nothing", func(*Facts) {}, ""},
		{"old kernel", func(f *Facts) { f.Release = "6.1.0"; f.Inside[tryHandlers] = refusedWith(syscall.EPERM) }, "fail binfmt_misc: needs Linux 6.7 or newer; this is 6.1.0"},
		{"module", func(f *Facts) { f.Inside[tryHandlers] = refusedWith(syscall.ENODEV) }, "fail binfmt_misc: modprobe binfmt_misc"},
		{"overlay module", func(f *Facts) { f.Inside[tryOverlay] = refusedWith(syscall.ENODEV) }, "fail overlay: modprobe overlay"},
		{"overlay over vfat", func(f *Facts) { f.Inside[tryRoot] = refusedWith(syscall.EINVAL) }, "fail overlay: copy the root to ext4"},
		{"tmpfs without attributes", func(f *Facts) { f.Inside[tryAttrs] = refusedWith(syscall.EOPNOTSUPP) }, "fail attributes: Linux 6.6"},
		{"yama", func(f *Facts) {
			f.Sysctls["kernel.yama.ptrace_scope"] = "3"
			f.Inside[tryPeer] = refusedWith(syscall.EPERM)
		}, "fail sandbox: kernel.yama.ptrace_scope is 3"},
		{"second listener", func(f *Facts) { f.Inside[tryListener] = refusedWith(syscall.EBUSY) }, "fail sandbox: another program already answers"},
		{"no loopback", func(f *Facts) { f.Inside[tryLoopback] = refusedWith(syscall.EPERM) }, "warn network: --net host"},
		{"clone sysctl", func(f *Facts) {
			f.Sysctls["kernel.unprivileged_userns_clone"] = "0"
			f.SpawnErr, f.Kinds = syscall.EPERM, []string{"user"}
		}, "fail namespaces: sysctl -w kernel.unprivileged_userns_clone=1"},
		{"AppArmor", func(f *Facts) {
			f.Sysctls["kernel.apparmor_restrict_unprivileged_userns"] = "1"
			f.Executable = "/usr/bin/crossroot"
			f.Inside[tryStage] = refusedWith(syscall.EPERM)
		}, "fail mounts: profile crossroot /usr/bin/crossroot flags=(unconfined) { userns, }"},
		{"no namespaces built in", func(f *Facts) { f.SpawnErr, f.Kinds = syscall.EINVAL, []string{"cgroup"} }, "fail namespaces: no cgroup namespace"},
		{"chroot", func(f *Facts) { f.Chroot, f.SpawnErr = true, syscall.EPERM }, "fail namespaces: in a chroot"},
		{"too many", func(f *Facts) { f.SpawnErr = syscall.ENOSPC }, "fail namespaces: raise the sysctls user.max_user_namespaces"},
		{"newuidmap without rights", func(f *Facts) { f.NewUIDMap, f.MapErr = "/bin/newuidmap", userns.ErrNoHelper }, "fail ids: chmod u+s /bin/newuidmap /bin/newgidmap"},
		{"no newuidmap", func(f *Facts) { f.MapErr = userns.ErrNoHelper }, "fail ids: package uidmap"},
		{"cache not ours", func(f *Facts) { f.Machine.DirsErr = os.ErrPermission }, "fail cache: CROSSROOT_CACHE"},
		{"little memory", func(f *Facts) { f.Machine.MemoryFree = 1 << 20 }, "warn memory: --spool disk"},
		{"other CPU", func(f *Facts) { f.Machine.HostSupported = false }, "fail kernel: amd64 or arm64"},
	}
	for _, tt := range tests {
		f := good()
		f.Machine.ToolsErr = nil
		tt.change(&f)
		got := ""
		for _, finding := range f.Findings(Target{Name: "root"}) {
			if finding.Level != OK && finding.Name != "emulators" && finding.Name != "tool root" {
				got += fmt.Sprintf("%s %s: %s → %s\n", finding.Level, finding.Name, finding.Found, finding.Remedy)
			}
		}
		where, what, _ := strings.Cut(tt.want, ": ")
		if !strings.HasPrefix(got, where) || !strings.Contains(got, what) || strings.Count(got, "\n") > 1 {
			t.Errorf("%s: found %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestEmulators(t *testing.T) {
	armhf, _ := arch.Lookup("armhf")
	arm64, _ := arch.Lookup("arm64")
	found := []EmulatorFound{{Arch: armhf, Path: "/q/arm", Static: true, Version: "9.1"}, {Arch: arm64, Path: "/q/aarch64"}}
	for _, tt := range []struct {
		found  []EmulatorFound
		target Target
		want   string
	}{
		{found, Target{}, "ok qemu 9.1, static, for 1 CPUs: armhf"},
		{found, Target{Name: "r", Arch: armhf}, "ok qemu 9.1 for armhf: /q/arm, static"},
		{found, Target{Name: "r", Arch: arm64}, "warn the emulator for arm64 is dynamically linked"},
		{nil, Target{Name: "r", Arch: arm64}, "warn none for arm64"},
		{nil, Target{}, "warn none found"},
	} {
		f := Facts{Machine: Machine{Emulators: tt.found}}
		got := f.emulators(tt.target)
		if text := string(got[0].Level) + " " + got[0].Found; !strings.HasPrefix(text, tt.want) {
			t.Errorf("%q, want %q", text, tt.want)
		}
	}
}

// A kernel without handlers in namespaces is good enough for a root that needs none.
func TestNativeRoot(t *testing.T) {
	f := good()
	f.Inside[tryHandlers] = refusedWith(syscall.EPERM)
	if !Works(f.Findings(Target{Name: "root", Arch: arch.Host(), Native: true})) {
		t.Error("dispatch is demanded for a native root")
	}
}

// What containers and distributions show of themselves.
func TestReadEnvironment(t *testing.T) {
	var e Environment
	e.readStatus("Name:\tx\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t2\n")
	if !e.NoNewPrivs || !e.Seccomp || e.has(21) || !e.has(6) {
		t.Errorf("%+v", e)
	}
	var mounts []mountPoint
	for _, line := range []string{
		`22 1 0:20 / /proc rw,nosuid - proc proc rw`,
		`23 22 0:21 / /proc/sys ro,nosuid shared:3 - proc proc rw`,
		`24 1 8:1 /a\040b /mnt/with\040blank\134 rw,noexec master:1 - ext4 /dev/sda1 rw,errors=continue`,
		`nonsense`, `1 2 3 - x`, ``,
	} {
		if m, ok := parseMount(line); ok {
			mounts = append(mounts, m)
		}
	}
	e.readMounts(mounts)
	if len(mounts) != 3 || mounts[2].Point != `/mnt/with blank\` || mounts[2].Type != "ext4" || mounts[2].Flags != "rw,noexec" {
		t.Errorf("%+v", mounts)
	}
	if !e.Chroot || len(e.Covered) != 1 || e.Covered[0] != "/proc/sys" {
		t.Errorf("%+v", e)
	}
	if advice := Advice(session.KindProc, syscall.EPERM, e); !strings.Contains(advice, "/proc/sys is covered") {
		t.Error(advice)
	}
}

func FuzzParseMount(f *testing.F) {
	f.Add(`24 1 8:1 /a\040b /mnt/with\040blank\134 rw,noexec master:1 - ext4 /dev/sda1 rw,errors=continue`)
	f.Add(`1 1 0:1 / /\ - x y`)
	f.Fuzz(func(t *testing.T, line string) {
		if m, ok := parseMount(line); ok && m.Type == "" {
			t.Errorf("%q: %+v", line, m)
		}
	})
}
