package broker

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
)

// watch tells when directories of the target change (inotify(7)).
type watch struct {
	file *os.File
	seen map[string]bool
}

// watchPerl watches the module directories: a package that brings or takes modules in the middle of a run renews the
// farm, before dpkg comes to run the package's scripts.
func (b *Broker) watchPerl(dirs []string) error {
	if b.perl.watch == nil {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return os.NewSyscallError("inotify_init", err)
		}
		b.perl.watch = &watch{file: os.NewFile(uintptr(fd), "inotify"), seen: map[string]bool{}}
		go b.followPerl(b.perl.watch.file)
	}
	w := b.perl.watch
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
	return nil
}

// followPerl renews the farm whenever something happened in the watched directories, until the watch is closed.
func (b *Broker) followPerl(events *os.File) {
	buf := make([]byte, 1<<16)
	for {
		if _, err := events.Read(buf); err != nil {
			return
		}
		b.mu.Lock()
		// An error leaves the farm as it is: what is missing there fails to load, as in a half-unpacked root.
		_ = b.renewPerl()
		b.mu.Unlock()
	}
}

// closeWatches lets go of the target's directories.
func (b *Broker) closeWatches() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.perl.watch != nil {
		b.perl.watch.file.Close()
		b.perl.watch = nil
	}
}
