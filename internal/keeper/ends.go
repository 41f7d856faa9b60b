package keeper

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/seccomp"
)

// watch notes whose end is the end of an attachment. A process that ends by itself is held (exit_group is notified) until
// nothing of the attachment is left, so that its parent finds the root as it was. One that is killed can't be held: its
// end is seen by its pidfd, a moment later.
func (k *keeper) watch(r seccomp.Request, at *attachment) error {
	fd, err := unix.PidfdOpen(r.PID, unix.PIDFD_NONBLOCK)
	if err != nil {
		k.release(at)
		return os.NewSyscallError("pidfd_open", err)
	}
	k.mu.Lock()
	if old := k.attached[r.PID]; old != nil { // a second root of one process, which changed its root and executed again
		k.mu.Unlock()
		k.release(old)
		k.mu.Lock()
	}
	k.attached[r.PID] = at
	k.mu.Unlock()
	process := os.NewFile(uintptr(fd), "pidfd")
	if !k.listener.Valid(r.ID) { // it was killed before there was somebody to see it
		k.release(at)
	}
	go func() {
		defer process.Close()
		raw, err := process.SyscallConn()
		if err == nil {
			_ = raw.Read(func(fd uintptr) bool {
				poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
				n, err := unix.Poll(poll, 0)
				return err != nil || n > 0
			})
		}
		k.release(at)
	}()
	return nil
}

// exits takes away what was attached for a process that is about to end; pid is one of its threads.
func (k *keeper) exits(pid int) {
	k.mu.Lock()
	if p := k.pending[pid]; p != nil { // it never asked again
		p.close()
		delete(k.pending, pid)
	}
	at := k.attached[pid]
	if at == nil {
		for leader, other := range k.attached {
			if leader != pid && isThread(leader, pid) {
				at = other
				break
			}
		}
	}
	k.mu.Unlock()
	if at != nil {
		k.release(at)
	}
}

func isThread(leader, thread int) bool {
	var st unix.Stat_t
	return unix.Stat("/proc/"+strconv.Itoa(leader)+"/task/"+strconv.Itoa(thread), &st) == nil
}

// releaseAll takes everything away, when the builder has ended.
func (k *keeper) releaseAll() {
	for {
		k.mu.Lock()
		var at *attachment
		for _, at = range k.attached {
			break
		}
		k.mu.Unlock()
		if at == nil {
			return
		}
		k.release(at)
	}
}
