package session

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/protocol"
)

// findEmulator finds a static qemu for the architecture: the one given, or on PATH; "" when there is none.
func findEmulator(a arch.Arch, given string, own bool) (string, error) {
	if a.Qemu == "" {
		return "", nil
	}
	if given != "" && own {
		full, err := filepath.Abs(given)
		if err == nil {
			err = checkEmulator(full)
		}
		if err != nil {
			return "", fail(KindEmulator, given, err)
		}
		return full, nil
	}
	static, _ := Emulator(a)
	return static, nil
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
		case err == nil && checkEmulator(full) == nil:
			return full, ""
		case other == "":
			other = path
		}
	}
	return "", other
}

// checkEmulator makes sure that an emulator runs in any root: it must be static.
func checkEmulator(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is dynamically linked; a static emulator is needed", path)
		}
	}
	return nil
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
