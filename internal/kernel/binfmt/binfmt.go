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
	line := fmt.Sprintf(":%s:M:0:%s:%s:%s:%s", name, escape(magic), escape(mask), interpreter, flags)
	fd, err := unix.Openat(int(t.dir.Fd()), "register", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "binfmt_misc/register", Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(line)); err != nil {
		return fmt.Errorf("register handler for %s executables: %w", name, err)
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
