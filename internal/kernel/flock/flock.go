// Package flock locks open files with flock(2): the lock belongs to the open
// file description and ends with it, also when its process is killed.
//
// It never waits. It must not know what a lock is for.
package flock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked says that somebody else has a lock that is in the way.
var ErrLocked = errors.New("locked by somebody else")

// Shared locks f together with other holders of a shared lock.
func Shared(f *os.File) error { return lock(f, unix.LOCK_SH) }

// Exclusive locks f against everybody else.
func Exclusive(f *os.File) error { return lock(f, unix.LOCK_EX) }

func lock(f *os.File, how int) error {
	for {
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err {
		case nil:
			return nil
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return &os.PathError{Op: "lock", Path: f.Name(), Err: ErrLocked}
		default:
			return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}
