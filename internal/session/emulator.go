package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// findEmulator finds the emulator for an architecture and notes it in the setup: the one given for the target's own, or
// one on PATH. A static one is taken as it is; a dynamic one through a relocated copy, with its libraries.
func (r *run) findEmulator(ctx context.Context, a arch.Arch) error {
	static, other := Emulator(a)
	if given := r.o.Qemu; given != "" && a.Name == r.root.Arch.Name {
		full, err := filepath.Abs(given)
		if err == nil {
			full, err = filepath.EvalSymlinks(full)
		}
		dynamic := false
		if err == nil {
			dynamic, err = isDynamic(full)
		}
		if err != nil {
			return fail(KindEmulator, given, fmt.Errorf("--qemu: %w", err))
		}
		if static, other = full, ""; dynamic {
			static, other = "", full
		}
	}
	e := protocol.Emulator{Arch: a.Name, CPU: a.QemuCPU}
	switch {
	case static != "":
		e.File = protocol.Tree{Path: static, FD: -1}
	case other != "":
		tools, err := r.relocateEmulator(ctx, other)
		if err != nil {
			r.warn(fmt.Sprintf("%s is dynamically linked and can't be used (%v): install a static one (package qemu-user-static)", other, err))
			return nil
		}
		r.emulators = append(r.emulators, tools)
		e.Tool, e.File = tools.Index.Tools[0].Path, protocol.Tree{Path: tools.Base, FD: -1}
	default:
		return nil
	}
	r.setup.Emulators = append(r.setup.Emulators, e)
	return nil
}

// relocateEmulator makes a tool root of a dynamic emulator. Its libraries must be those of the other tools.
func (r *run) relocateEmulator(ctx context.Context, file string) (*toolroot.Root, error) {
	if r.tools != nil && r.tools.Index.Source != "/" {
		return nil, errors.New("its libraries are not those of --tools")
	}
	full, err := filepath.EvalSymlinks(file)
	if err != nil {
		return nil, err
	}
	tools, err := toolroot.Open(ctx, toolroot.Source{Root: "/", Only: full}, toolroot.Options{Cache: r.o.Dirs.Cache, Target: r.root.Arch, Progress: r.o.Progress})
	if err == nil && len(tools.Index.Tools) == 0 {
		tools.Close()
		err = errors.New("it could not be relocated")
	}
	if err != nil {
		return nil, err
	}
	return tools, nil
}

// Emulator looks for the architecture's emulator on PATH: the first static one, which is what a run needs, or else the
// first of any kind.
func Emulator(a arch.Arch) (static, other string) {
	if a.Qemu == "" {
		return "", ""
	}
	for _, name := range []string{"qemu-" + a.Qemu + "-static", "qemu-" + a.Qemu} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		full, err := filepath.EvalSymlinks(path)
		switch {
		case err == nil && isStatic(full):
			return full, ""
		case other == "":
			other = path
		}
	}
	return "", other
}

func isStatic(path string) bool {
	dynamic, err := isDynamic(path)
	return err == nil && !dynamic
}

// isDynamic reports whether an executable asks for a program interpreter.
func isDynamic(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	image, err := elfimage.Open(f, info.Size())
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return image.Interp() != "", nil
}

// makeNode makes a device node for the worker in a directory of ROOT: only real root can, and only harmless ones are
// asked for.
func (r *run) makeNode(n *protocol.Node, files []*os.File) protocol.Order {
	o := protocol.Order{Kind: protocol.OrderNode}
	err := errors.New("no directory given")
	if len(files) == 1 {
		// The directory lies on an idmapped mount, which knows the run's ids alone.
		err = userns.WithFileIDs(r.setup.UIDs[0].Outside, r.setup.GIDs[0].Outside, func() error {
			return unix.Mknodat(int(files[0].Fd()), n.Name, n.Mode, int(unix.Mkdev(n.Major, n.Minor)))
		})
	}
	for _, f := range files {
		f.Close()
	}
	if err != nil {
		o.Error = err.Error()
	}
	return o
}
