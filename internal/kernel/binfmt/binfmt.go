// Package binfmt registers handlers of foreign executables in the user namespace's own binfmt_misc (Linux 6.7): the
// host's table is never touched, and the handlers end with the mount. It knows nothing of what the handler does.
package binfmt

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/mount"
)

// Table is this namespace's binfmt_misc, mounted nowhere; its handlers live until it is closed.
type Table struct{ dir *os.File }

// Open mounts the instance of the current user namespace, detached.
func Open() (*Table, error) {
	dir, err := mount.New("binfmt_misc", mount.NoSuid|mount.NoDev|mount.NoExec)
	if err != nil {
		return nil, err
	}
	return &Table{dir}, nil
}

// Close drops the handlers.
func (t *Table) Close() error { return t.dir.Close() }

// Register adds a handler for executables whose first bytes are magic under mask. Flags: P keeps argv[0], O hands the
// opened executable over, C takes credentials from it, F opens the interpreter now.
func (t *Table) Register(name string, magic, mask []byte, interpreter, flags string) error {
	return t.Add(name, Handler{Interpreter: interpreter, Flags: flags, Offset: "0", Magic: magic, Mask: mask})
}

// Handler is any kind of one: by magic bytes at an offset, or by the file's name.
type Handler struct {
	Interpreter, Flags string
	Offset             string // decimal
	Magic, Mask        []byte // no mask: all bits count
	Extension          string // without the dot; instead of the magic bytes
}

// Add adds a handler.
func (t *Table) Add(name string, h Handler) error {
	line := fmt.Sprintf(":%s:M:%s:%s:%s:%s:%s", name, h.Offset, escape(h.Magic), escape(h.Mask), h.Interpreter, h.Flags)
	if h.Extension != "" {
		line = fmt.Sprintf(":%s:E::%s::%s:%s", name, h.Extension, h.Interpreter, h.Flags)
	}
	if strings.ContainsAny(h.Interpreter+h.Extension+h.Offset+h.Flags, ":\n") {
		return fmt.Errorf("register handler %s: a colon or newline in it", name)
	}
	fd, err := unix.Openat(int(t.dir.Fd()), "register", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "binfmt_misc/register", Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(line)); err != nil {
		return fmt.Errorf("register handler %s: %w", name, err)
	}
	return nil
}

// escape writes bytes as binfmt_misc's \xNN.
func escape(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, `\x%02x`, c)
	}
	return s.String()
}
