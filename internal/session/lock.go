package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"context"
	"time"

	"golang.org/x/sys/unix"
)

// lock is a hold on ROOT: flock on the directory itself, so that a read-only root can be locked and nothing is left in
// it, and beside it, in the state directory, a note of who holds it.
type lock struct {
	dir  *os.File
	note string
}

// errBusy: another run holds the root.
var errBusy = errors.New("in use")

// take locks the root: exclusively for a run that may commit, shared for one that can't. With wait it waits.
func (r *Root) take(ctx context.Context, state string, shared, wait bool, command string) (*lock, error) {
	dir, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", r.Dir.Fd()), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fail(KindRoot, r.Name, err)
	}
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	note := filepath.Join(state, fmt.Sprintf("run-%d-%d", r.Dev, r.Ino))
	for {
		err = unix.Flock(int(dir.Fd()), how|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			dir.Close()
			return nil, fail(KindRoot, r.Name, &os.PathError{Op: "lock", Path: r.Name, Err: err})
		}
		if !wait {
			dir.Close()
			return nil, fail(KindBusy, r.Name, fmt.Errorf("%s is %w%s", r.Name, errBusy, holder(note)))
		}
		select {
		case <-ctx.Done():
			dir.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	l := &lock{dir: dir}
	if !shared {
		l.note = note
		_ = os.WriteFile(note, fmt.Appendf(nil, "process %d: %s", os.Getpid(), command), 0o600)
	}
	return l, nil
}

// holder says who holds the root, as far as the note tells.
func holder(note string) string {
	text, err := os.ReadFile(note)
	if err != nil || len(text) == 0 {
		return " by another run"
	}
	return " by " + strings.ToValidUTF8(strings.Map(printable, string(text)), "?")
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}

// release gives the root back.
func (l *lock) release() {
	if l.note != "" {
		_ = os.Remove(l.note)
	}
	l.dir.Close()
}
