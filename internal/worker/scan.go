package worker

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/protocol"
)

// maxLeaks bounds how many paths a warning names.
const maxLeaks = 5

// scanForLeaks looks for the hidden directory's name in what the run wrote: a native program that noted where it or
// its modules lie has left something that isn't there outside.
func (w *worker) scanForLeaks(changes []protocol.Change) []string {
	var found []string
	buf := make([]byte, 256<<10)
	for _, c := range changes {
		if c.Kind != "added" && c.Kind != "changed" {
			continue
		}
		leaks := false
		switch c.Type {
		case "file":
			leaks = w.fileLeaks(c.Path, buf)
		case "symlink":
			leaks = w.linkLeaks(c.Path)
		}
		if leaks {
			found = append(found, c.Path)
		}
	}
	if len(found) == 0 {
		return nil
	}
	more := ""
	if len(found) > maxLeaks {
		more = fmt.Sprintf(" and %d more", len(found)-maxLeaks)
		found = found[:maxLeaks]
	}
	return []string{fmt.Sprintf("%s%s: written with the name of crossroot's hidden directory (%s) inside", strings.Join(found, ", "), more, protocol.HiddenDir)}
}

var leak = []byte(protocol.HiddenDir + "/")

func (w *worker) fileLeaks(name string, buf []byte) bool {
	f, err := fd.OpenRegular(w.layout.upper, name)
	if err != nil {
		return false
	}
	defer f.Close()
	// Holes are passed over: a file may be as long as it likes without taking room.
	for off := int64(0); ; {
		data, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
		if err != nil {
			return false
		}
		end, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
		if err != nil || end <= data {
			return false
		}
		if leaksIn(io.NewSectionReader(f, data, end-data), buf) {
			return true
		}
		off = end
	}
}

func leaksIn(r io.Reader, buf []byte) bool {
	kept := 0 // bytes of the last block that may begin a match
	for {
		n, err := r.Read(buf[kept:])
		block := buf[:kept+n]
		if bytes.Contains(block, leak) {
			return true
		}
		if err != nil {
			return false
		}
		kept = min(len(leak)-1, len(block))
		copy(buf, block[len(block)-kept:])
	}
}

func (w *worker) linkLeaks(name string) bool {
	f, err := fd.Open(w.layout.upper, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", buf)
	return err == nil && bytes.Contains(buf[:n], leak)
}
