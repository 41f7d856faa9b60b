package broker

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
)

// watch tells when directories of the target change (inotify(7)).
type watch struct {
	file *os.File
	seen map[string]bool
}

// newWatch makes a watch that calls changed, under the broker's lock, whenever something whose name matters came or
// went, until it is closed.
func (b *Broker) newWatch(matters func(name string, dir bool) bool, changed func()) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init", err)
	}
	w := &watch{file: os.NewFile(uintptr(fd), "inotify"), seen: map[string]bool{}}
	b.watching.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := w.file.Read(buf)
			if err != nil {
				return
			}
			if anyEvent(buf[:n], matters) {
				b.mu.Lock()
				changed()
				b.mu.Unlock()
			}
		}
	})
	return w, nil
}

// anyEvent says whether one of the events (inotify(7)) has a name that matters. Lost events might have had.
func anyEvent(events []byte, matters func(name string, dir bool) bool) bool {
	for len(events) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(events[4:])
		end := min(unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(events[12:])), len(events))
		name, _, _ := bytes.Cut(events[unix.SizeofInotifyEvent:end], []byte{0})
		if mask&unix.IN_Q_OVERFLOW != 0 || matters(string(name), mask&unix.IN_ISDIR != 0) {
			return true
		}
		events = events[end:]
	}
	return false
}

// watchPerl watches the module directories: a package that brings or takes modules in the middle of a run renews the
// farm, before dpkg comes to run the package's scripts.
func (b *Broker) watchPerl(dirs []string) error {
	if b.perl.watch == nil {
		w, err := b.newWatch(func(string, bool) bool { return true }, func() {
			if b.renewPerl() != nil {
				b.expirePerl()
			}
		})
		if err != nil {
			return err
		}
		b.perl.watch = w
	}
	b.watchDirs(b.perl.watch, dirs)
	return nil
}

// watchPython watches the module directories: when modules come or go, python is decided anew at its next execution.
func (b *Broker) watchPython(dirs []string) error {
	if b.python.watch == nil {
		matters := func(name string, dir bool) bool {
			return dir && name != pythonCache || strings.Contains(name, ".so")
		}
		w, err := b.newWatch(matters, b.expirePython)
		if err != nil {
			return err
		}
		b.python.watch = w
	}
	b.watchDirs(b.python.watch, dirs)
	return nil
}

// watchDirs adds directories of the target to a watch. One that isn't there is seen when it comes, by its parent.
func (b *Broker) watchDirs(w *watch, dirs []string) {
	for _, dir := range dirs {
		if w.seen[dir] {
			continue
		}
		const mask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ONLYDIR
		d, err := fd.Open(b.Root, dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			continue // it isn't there; its parent is watched
		}
		if _, err := unix.InotifyAddWatch(int(w.file.Fd()), "/proc/self/fd/"+strconv.Itoa(int(d.Fd())), mask); err == nil {
			w.seen[dir] = true
		}
		d.Close()
	}
}

// closeWatches lets go of the target's directories. What a watch still has at hand, which may open files there, is done
// when it returns.
func (b *Broker) closeWatches() {
	defer b.watching.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range []**watch{&b.perl.watch, &b.python.watch, &b.following.watch} {
		if *w != nil {
			(*w).file.Close()
			*w = nil
		}
	}
}
