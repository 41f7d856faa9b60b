package session

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/crossroot/crossroot/internal/protocol"
)

// streams are the command's standard streams: sockets and pipes for output pass as they are; a regular file is proxied
// by a pipe, since a script could truncate it or read it elsewhere through /proc/self/fd; a pipe for input too, since a
// script could open it for writing and leave commands for whoever reads on after the run; a terminal by a private one,
// since input could be pushed into the caller's.
type streams struct {
	kinds         [3]protocol.Stdio
	passed        []*os.File // for the worker, in order
	ours          []*os.File // ends made here for the worker, closed once handed over
	given         []given    // pipes of the caller's that belong to the run's root meanwhile
	rows, columns uint16

	terminal *os.File // the caller's terminal, nil when no stream is one
	input    *os.File // standard input, if it is the terminal
	master   *os.File // of the run's terminal
	saved    *term.State
	over     bool // the terminal was given back

	stopInput *os.File // closed when no more is to be read from input
	stopProxy *os.File // the same for standard input that is no terminal

	copies sync.WaitGroup // output still to be copied
	lost   error          // what became of output that could not be written, nil if all was
	fed    *feed          // standard input, if it is a file
	mu     sync.Mutex
}

func openStreams(files [3]*os.File, nullStdin bool) (*streams, error) {
	s := &streams{}
	for i, std := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if files[i] == nil {
			files[i] = std
		}
	}
	for i, f := range files {
		if i == 0 && nullStdin {
			s.kinds[0] = protocol.StdioNull
			continue
		}
		if err := s.open(i, f); err != nil {
			return nil, fmt.Errorf("standard stream %d: %w", i, err)
		}
	}
	if s.terminal != nil {
		if w, h, err := term.GetSize(int(s.terminal.Fd())); err == nil {
			s.columns, s.rows = uint16(w), uint16(h)
		}
	}
	return s, nil
}

func (s *streams) open(i int, f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		if errors.Is(err, unix.EBADF) { // closed by the caller
			s.kinds[i] = protocol.StdioNull
			return nil
		}
		return os.NewSyscallError("fstat", err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO, unix.S_IFSOCK:
		if st.Mode&unix.S_IFMT == unix.S_IFIFO && (i == 0 || !anonymous(f)) {
			return s.proxy(i, f) // one that is named has an owner on the host, which must stay
		}
		s.kinds[i] = protocol.StdioFD
		s.passed = append(s.passed, f)
		return nil
	case unix.S_IFCHR:
		if term.IsTerminal(int(f.Fd())) {
			s.kinds[i] = protocol.StdioPty
			if s.terminal == nil || i == 1 {
				s.terminal = f
			}
			if i == 0 {
				s.input = f
			}
			return nil
		}
		if unix.Major(st.Rdev) == 1 && unix.Minor(st.Rdev) == 3 {
			s.kinds[i] = protocol.StdioNull
			return nil
		}
	case unix.S_IFDIR:
		s.kinds[i] = protocol.StdioNull
		return nil
	}
	return s.proxy(i, f)
}

// anonymous reports whether a FIFO is a pipe, which no file system has.
func anonymous(f *os.File) bool {
	const pipefs = 0x50495045 // PIPEFS_MAGIC, include/uapi/linux/magic.h
	var fs unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &fs) == nil && fs.Type == pipefs
}

// giveTo makes the pipes that are passed belong to uid and gid: the command's root isn't the caller, and could not open
// /dev/stdout and /dev/stderr by name otherwise. finish gives them back.
func (s *streams) giveTo(uid, gid int) {
	for _, f := range s.passed {
		var st unix.Stat_t
		fd := int(f.Fd())
		if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO || !anonymous(f) || int(st.Uid) == uid {
			continue
		}
		if unix.Fchown(fd, uid, gid) == nil { // else the command goes without
			s.given = append(s.given, given{f, int(st.Uid), int(st.Gid)})
		}
	}
}

// given is a pipe that was given away, with its owner.
type given struct {
	f        *os.File
	uid, gid int
}

// handedOver closes our copies of what the worker has now: the readers must see the end.
func (s *streams) handedOver() {
	for _, f := range s.ours {
		f.Close()
	}
	s.ours = nil
}

// attach connects the caller's terminal with the run's.
func (s *streams) attach(files []*os.File) error {
	if len(files) != 1 {
		return errors.New("the worker sent no terminal")
	}
	s.mu.Lock()
	s.master = files[0]
	s.mu.Unlock()
	s.resize()
	s.outputMode(false)
	if err := s.takeInput(); err != nil {
		return err
	}
	s.copies.Add(1)
	go func() {
		defer s.copies.Done()
		_, _ = io.Copy(s.terminal, s.master) // ends with EIO when the last process has closed it
	}()
	return nil
}

// takeInput makes the caller's terminal raw and reads from it, if crossroot is in its foreground: in the background that
// would take it away from its user, and stop crossroot. It is called again when crossroot is continued.
func (s *streams) takeInput() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.input == nil || s.master == nil || s.saved != nil || s.over || !foreground(s.input) {
		return nil
	}
	saved, err := term.MakeRaw(int(s.input.Fd()))
	if err != nil {
		return fmt.Errorf("set terminal: %w", err)
	}
	s.saved = saved
	s.outputMode(true)
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.stopInput = w
	go copyInput(s.master, s.input, r)
	return nil
}

// copyInput carries the caller's input to the run until the other end of stop is closed: a read that still waits then
// would take the next line from whoever reads after the run.
func copyInput(to, from, stop *os.File) {
	defer stop.Close()
	fds := []unix.PollFd{{Fd: int32(from.Fd()), Events: unix.POLLIN}, {Fd: int32(stop.Fd())}}
	buf := make([]byte, 4096)
	for {
		if _, err := unix.Poll(fds, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil || fds[1].Revents != 0 {
			return
		}
		n, err := unix.Read(int(fds[0].Fd), buf)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// foreground reports whether a read from the terminal is ours to make. A terminal that doesn't control us is.
func foreground(terminal *os.File) bool {
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// outputMode turns the translation of line ends in the run's terminal on, for a raw terminal of the caller's, or off,
// where the caller's does it.
func (s *streams) outputMode(translate bool) {
	fd := int(s.master.Fd())
	if t, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		t.Oflag &^= unix.OPOST
		if translate {
			t.Oflag |= unix.OPOST
		}
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, t)
	}
}

// resize gives the run's terminal the size of the caller's.
func (s *streams) resize() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.master == nil || s.terminal == nil {
		return
	}
	if size, err := unix.IoctlGetWinsize(int(s.terminal.Fd()), unix.TIOCGWINSZ); err == nil {
		_ = unix.IoctlSetWinsize(int(s.master.Fd()), unix.TIOCSWINSZ, size)
	}
}

// drain waits until what the command wrote has arrived, and gives the terminal back. Its error is about output that
// could not be written to the caller's file.
func (s *streams) drain() error {
	s.copies.Wait()
	s.restore()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

func (s *streams) restore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for _, stop := range []**os.File{&s.stopInput, &s.stopProxy} {
		if *stop != nil {
			(*stop).Close()
			*stop = nil
		}
	}
	if s.saved != nil {
		_ = term.Restore(int(s.input.Fd()), s.saved)
		s.saved = nil
	}
}

// finish gives everything back, whatever happened.
func (s *streams) finish() {
	for _, g := range s.given {
		_ = unix.Fchown(int(g.f.Fd()), g.uid, g.gid) // those made here are closed already
	}
	s.handedOver()
	s.restore()
	if s.fed != nil {
		s.fed.giveBack()
		s.fed = nil
	}
	if s.master != nil {
		s.master.Close()
	}
}
