package session

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/protocol"
)

// proxy puts a pipe between the caller's file and the command.
func (s *streams) proxy(i int, f *os.File) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.kinds[i] = protocol.StdioFD
	if i == 0 {
		s.passed, s.ours = append(s.passed, r), append(s.ours, r)
		return s.feed(f, r, w)
	}
	s.passed, s.ours = append(s.passed, w), append(s.ours, w)
	s.copies.Add(1)
	go func() {
		defer s.copies.Done()
		_, err := io.Copy(f, r)
		r.Close() // the command's further writes fail, too
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.lost = errors.Join(s.lost, fmt.Errorf("copy the command's output: %w", err))
		}
	}()
	return nil
}

// feed copies a file into the pipe that is the command's standard input, and knows how much of it nobody read.
type feed struct {
	from   *os.File
	to     *os.File // the pipe
	kept   *os.File // a second descriptor of its other end: the kernel forgets what is in a pipe without one
	done   chan struct{}
	unsent int // bytes read from the file, but not written to the pipe
}

func (s *streams) feed(from, r, w *os.File) error {
	var st unix.Stat_t
	if unix.Fstat(int(from.Fd()), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		stopped, stop, err := os.Pipe()
		if err != nil {
			return err
		}
		s.stopProxy = stop
		go func() {
			copyInput(w, from, stopped)
			w.Close()
		}()
		return nil
	}
	fd, err := unix.FcntlInt(r.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	s.fed = &feed{from: from, to: w, kept: os.NewFile(uintptr(fd), "stdin"), done: make(chan struct{})}
	go s.fed.copy()
	return nil
}

func (f *feed) copy() {
	defer close(f.done)
	defer f.to.Close() // the command sees the end
	buf := make([]byte, 64<<10)
	for {
		n, err := f.from.Read(buf)
		if n > 0 {
			written, werr := f.to.Write(buf[:n])
			f.unsent = n - written
			if werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// giveBack moves the offset of the file back over what the command did not read, as if it had read the file itself:
// in `while read line; do crossroot run …; done < file` the lines are the loop's. To be called when no process of the
// run is left.
func (f *feed) giveBack() {
	_ = f.to.SetWriteDeadline(time.Unix(1, 0)) // the copy may be waiting for a reader
	<-f.done
	unread, err := unix.IoctlGetInt(int(f.kept.Fd()), unix.TIOCINQ) // FIONREAD
	f.kept.Close()
	if err == nil && unread+f.unsent > 0 {
		_, _ = f.from.Seek(-int64(unread+f.unsent), io.SeekCurrent)
	}
}
