package worker

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/transaction/spool"
)

// diskMount is where the directory above both ROOT and the spool is attached: only through one mount can a commit
// rename from one to the other.
const diskMount = "/disk"

func spoolMount(s *protocol.Setup) string {
	if s.SpoolEntry != "" {
		return diskMount
	}
	return "/up"
}

// shareMount attaches ROOT and the spool under their usual names when they came as entries of one directory.
func (w *worker) shareMount() error {
	s := &w.setup
	if s.SpoolEntry == "" {
		return nil
	}
	disk, err := os.OpenFile(diskMount, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer disk.Close()
	for name, at := range map[string]string{s.RootEntry: "/lower", s.SpoolEntry: "/up"} {
		tree, err := mount.Clone(disk, name, true)
		if err != nil {
			return &Error{Kind: "root", Path: s.RootName, Err: err}
		}
		err = held{tree, at, false}.attach()
		if err != nil {
			return err
		}
	}
	return nil
}

// committing returns the directories as the commit needs them: through one mount where there is one.
func (w *worker) committing() (upper, lower *os.File, sameMount bool, err error) {
	s := &w.setup
	if s.SpoolEntry == "" {
		return w.layout.upper, w.layout.lower, false, nil
	}
	open := func(name string) *os.File {
		f, e := os.OpenFile(diskMount+"/"+name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		err = errors.Join(err, e)
		return f
	}
	upper, lower = open(s.SpoolEntry+"/upper"), open(s.RootEntry)
	if err == nil {
		err = w.checkRoot(lower)
	}
	return upper, lower, true, err
}

// clearSpool empties a spool on the disk: before the run of what a killed one left, and after it.
func (w *worker) clearSpool() error {
	if w.setup.SpoolSize > 0 {
		return nil
	}
	entries, err := os.ReadDir("/up")
	if err != nil {
		return &Error{Kind: "spool", Err: err}
	}
	for _, e := range entries {
		name := "/up/" + e.Name()
		if err := os.RemoveAll(name); err != nil {
			return &Error{Kind: "spool", Err: fmt.Errorf("clear the spool: %w", err)}
		}
	}
	return nil
}

// spoolFull reports whether the upper's file system is full: some write of the run has then failed, even if the
// command ended well.
func spoolFull() bool {
	var fs unix.Statfs_t
	if err := unix.Statfs("/up", &fs); err != nil {
		return false
	}
	return spool.LooksFull(spool.Space{
		Bytes: int64(fs.Bavail) * fs.Bsize, TotalBytes: int64(fs.Blocks) * fs.Bsize,
		Inodes: int64(fs.Ffree), TotalInodes: int64(fs.Files),
	})
}
