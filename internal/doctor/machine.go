package doctor

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/at"
	"github.com/crossroot/crossroot/internal/kernel/probe"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// Machine is what was found on the machine outside of any namespace.
type Machine struct {
	Dirs          session.Dirs
	DirsErr       error
	CacheMount    mountPoint
	CacheExecErr  error
	CacheFree     int64 // bytes
	MemoryFree    int64 // bytes
	Emulators     []EmulatorFound
	Tools         *toolroot.Index
	ToolsErr      error
	HostSupported bool // the dispatcher and the filter know this CPU
}

// EmulatorFound is an emulator on PATH.
type EmulatorFound struct {
	Arch    arch.Arch
	Path    string
	Static  bool
	Version string // of the first, or the wanted one, only: they come together
}

// look fills in the machine's part; version is of the emulator for want, or else of the first one found.
func (m *Machine) look(ctx context.Context, tools string, want arch.Arch) {
	m.HostSupported = arch.Host().Name == "amd64" || arch.Host().Name == "arm64"
	m.MemoryFree, _, _ = probe.Memory()
	m.emulators(ctx, want)
	if m.Dirs, m.DirsErr = session.UserDirs(); m.DirsErr != nil {
		return
	}
	m.cache()
	m.Tools, m.ToolsErr = toolroot.Ready(toolroot.Source{Root: tools}, m.Dirs.Cache)
}

func (m *Machine) cache() {
	m.CacheExecErr = probe.Executable(m.Dirs.Cache)
	dir, err := os.Open(m.Dirs.Cache)
	if err != nil {
		return
	}
	defer dir.Close()
	m.CacheMount, _ = mountOf(dir)
	if space, err := at.Free(int(dir.Fd())); err == nil {
		m.CacheFree = space.Bytes
	}
}

// mountOf finds the mount that an open file lies on.
func mountOf(f *os.File) (mountPoint, error) {
	id, err := probe.MountID(f)
	if err != nil {
		return mountPoint{}, err
	}
	mounts, err := readMounts()
	if err != nil {
		return mountPoint{}, err
	}
	for _, m := range mounts {
		if m.ID == id {
			return m, nil
		}
	}
	return mountPoint{}, errors.New("its mount is not in mountinfo")
}

func (m *Machine) emulators(ctx context.Context, want arch.Arch) {
	asked := -1
	for _, a := range arch.All() {
		if a.RunsNativelyOn(arch.Host()) {
			continue
		}
		static, other := session.Emulator(a)
		if static == "" && other == "" {
			continue
		}
		if asked < 0 || a.Name == want.Name {
			asked = len(m.Emulators)
		}
		m.Emulators = append(m.Emulators, EmulatorFound{Arch: a, Path: static + other, Static: static != ""})
	}
	if asked >= 0 {
		m.Emulators[asked].Version = version(ctx, m.Emulators[asked].Path)
	}
}

// version asks a qemu for its version: "qemu-arm version 7.2.0 (…)" is 7.2.0.
func version(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(out), "version ")
	if f := strings.Fields(after); len(f) > 0 {
		return f[0]
	}
	return ""
}
