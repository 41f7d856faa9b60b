// Package fdsock carries messages (gob: strings are any bytes) and descriptors between two processes of one run over a
// stream socket pair.
// It promises whole messages in order, descriptors with CLOEXEC set, and io.EOF when the peer is gone; it knows
// nothing of what the messages mean.
package fdsock

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	maxMessage = 64 << 20
	maxFDs     = 64
)

// Conn is one end. Send may be called from several goroutines, Receive from one at a time.
type Conn struct {
	fd   int
	file *os.File
	send sync.Mutex
}

// Pair makes two connected ends; the second is a file to hand to a child process (use Open there).
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return Open(os.NewFile(uintptr(fds[0]), "socket")), os.NewFile(uintptr(fds[1]), "socket"), nil
}

// Open makes a connection of an inherited descriptor; the Conn owns the file.
func Open(file *os.File) *Conn {
	fd := int(file.Fd())
	unix.CloseOnExec(fd)
	return &Conn{fd: fd, file: file}
}

// Close closes this end.
func (c *Conn) Close() error { return c.file.Close() }

// Shutdown ends the conversation for both directions: a Receive that waits, here or there, sees io.EOF.
func (c *Conn) Shutdown() { _ = unix.Shutdown(c.fd, unix.SHUT_RDWR) }

// Send sends v, a struct, with the descriptors of files, which stay open here.
func (c *Conn) Send(v any, files ...*os.File) error {
	message := bytes.NewBuffer(make([]byte, 4))
	if err := gob.NewEncoder(message).Encode(v); err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	packet := message.Bytes()
	binary.LittleEndian.PutUint32(packet, uint32(len(packet)-4))
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	c.send.Lock()
	defer c.send.Unlock()
	for len(packet) > 0 {
		n, err := unix.SendmsgN(c.fd, packet, rights, nil, unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("sendmsg", err)
		}
		packet, rights = packet[n:], nil
	}
	return nil
}

// Receive reads the next message into v, a pointer to a zero struct, and returns the descriptors that came with it.
func (c *Conn) Receive(v any) ([]*os.File, error) {
	var files []*os.File
	head := make([]byte, 4)
	if err := c.fill(head, &files); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head)
	if size > maxMessage {
		return files, fmt.Errorf("receive message: %d bytes are over the limit", size)
	}
	body := make([]byte, size)
	if err := c.fill(body, &files); err != nil {
		return files, err
	}
	if err := gob.NewDecoder(bytes.NewReader(body)).Decode(v); err != nil {
		return files, fmt.Errorf("decode message: %w", err)
	}
	return files, nil
}

// fill reads exactly len(b) bytes, collecting descriptors on the way.
func (c *Conn) fill(b []byte, files *[]*os.File) error {
	oob := make([]byte, unix.CmsgSpace(4*maxFDs))
	for len(b) > 0 {
		n, oobn, _, _, err := unix.Recvmsg(c.fd, b, oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			if errors.Is(err, unix.ECONNRESET) {
				return io.EOF
			}
			return os.NewSyscallError("recvmsg", err)
		}
		if n == 0 {
			return io.EOF
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			return os.NewSyscallError("recvmsg", err)
		}
		for _, m := range messages {
			fds, err := unix.ParseUnixRights(&m)
			if err != nil {
				continue
			}
			for _, fd := range fds {
				*files = append(*files, os.NewFile(uintptr(fd), "received"))
			}
		}
		b = b[n:]
	}
	return nil
}
