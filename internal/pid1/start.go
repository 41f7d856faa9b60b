package pid1

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/protocol"
)

// standardFiles returns what the command gets as descriptors 0 to 2.
func standardFiles(conn *fdsock.Conn, c protocol.Init, passed []*os.File) ([3]*os.File, error) {
	var out [3]*os.File
	var slave *os.File
	for i, kind := range c.Stdio {
		switch kind {
		case protocol.StdioFD:
			if len(passed) == 0 {
				return out, fmt.Errorf("descriptor %d is missing", i)
			}
			out[i], passed = passed[0], passed[1:]
		case protocol.StdioPty:
			if slave == nil {
				var err error
				if slave, err = openPty(conn, c.Rows, c.Columns); err != nil {
					return out, err
				}
			}
			dup, err := unix.FcntlInt(slave.Fd(), unix.F_DUPFD_CLOEXEC, 3)
			if err != nil {
				return out, os.NewSyscallError("dup", err)
			}
			out[i] = os.NewFile(uintptr(dup), slave.Name())
		default:
			null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
			if err != nil {
				return out, err
			}
			out[i] = null
		}
	}
	if slave != nil {
		slave.Close()
	}
	return out, nil
}

// openPty makes the run's terminal in the sandbox's own devpts and sends its master to the worker.
func openPty(conn *fdsock.Conn, rows, columns uint16) (*os.File, error) {
	master, err := os.OpenFile("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	defer master.Close()
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, os.NewSyscallError("unlock terminal", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, os.NewSyscallError("number of terminal", err)
	}
	_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return slave, conn.Send(protocol.InitEvent{Kind: protocol.InitPty}, master)
}

// start clones the command's process into the inner user namespace and, once that exists, forbids further ones. The
// process waits for its orders on descriptor 3 and reports a failed execve on descriptor 4.
func start(c protocol.Init, stdio [3]*os.File, limits []*os.File) (pid int, failed *os.File, err error) {
	orders, ordersWriter, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	failed, failedWriter, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	attr := &syscall.ProcAttr{
		Env:   []string{},
		Files: []uintptr{stdio[0].Fd(), stdio[1].Fd(), stdio[2].Fd(), orders.Fd(), failedWriter.Fd()},
		Sys: &syscall.SysProcAttr{
			Cloneflags:                 unix.CLONE_NEWUSER,
			UidMappings:                identity(c.Ranges[0]),
			GidMappings:                identity(c.Ranges[1]),
			GidMappingsEnableSetgroups: true,
			Setsid:                     true,
		},
	}
	for i, kind := range c.Stdio {
		if kind == protocol.StdioPty {
			attr.Sys.Setctty, attr.Sys.Ctty = true, i
			break
		}
	}
	pid, err = syscall.ForkExec(protocol.HiddenDir+"/self", []string{protocol.StageName}, attr)
	orders.Close()
	failedWriter.Close()
	if err != nil {
		return 0, nil, fmt.Errorf("start the command's process: %w", err)
	}
	if err := closeLimits(limits, c.Mounts); err != nil {
		return 0, nil, err
	}
	err = gob.NewEncoder(ordersWriter).Encode(protocol.Stage{Command: c.Command, Env: c.Env, Workdir: c.Workdir})
	if cerr := ordersWriter.Close(); err == nil {
		err = cerr
	}
	return pid, failed, err
}

// identity maps each id of the outer namespace to itself, range by range: a range of the inner namespace must lie
// within one of the outer.
func identity(outer []protocol.Range) []syscall.SysProcIDMap {
	var m []syscall.SysProcIDMap
	for _, r := range outer {
		m = append(m, syscall.SysProcIDMap{ContainerID: r.Inside, HostID: r.Inside, Size: r.Size})
	}
	return m
}

// readFailure takes what the stage wrote when it could not execute the command.
func readFailure(failed *os.File, exit *protocol.Exit) {
	text, _ := io.ReadAll(io.LimitReader(failed, 1<<16))
	failed.Close()
	if len(text) == 0 {
		return
	}
	var e protocol.Exit
	if gob.NewDecoder(bytes.NewReader(text)).Decode(&e) == nil {
		*exit = e
	}
}
