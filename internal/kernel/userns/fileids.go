package userns

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// WithFileIDs calls f on a thread of its own whose file-system ids are uid and gid (setfsuid(2)) while all its
// capabilities stay effective: what real root makes on an idmapped mount must belong to an id which that mount maps.
func WithFileIDs(uid, gid int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- withFileIDs(uid, gid, f)
	}()
	return <-done
}

func withFileIDs(uid, gid int, f func() error) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	// unix.Setfsuid and Setfsgid act on the calling thread alone.
	if err := setFileIDs(uid, gid); err != nil {
		return err
	}
	// Leaving id 0 cleared the file capabilities from the effective set (capabilities(7)).
	for i := range caps {
		caps[i].Effective = caps[i].Permitted
	}
	if err := unix.Capset(&header, &caps[0]); err != nil {
		return os.NewSyscallError("capset", err)
	}
	return f()
}

// setFileIDs sets both ids and reads them back: setfsuid and setfsgid report no errors.
func setFileIDs(uid, gid int) error {
	if _, err := unix.SetfsgidRetGid(gid); err != nil {
		return os.NewSyscallError("setfsgid", err)
	}
	if _, err := unix.SetfsuidRetUid(uid); err != nil {
		return os.NewSyscallError("setfsuid", err)
	}
	if got, _ := unix.SetfsgidRetGid(-1); got != gid {
		return fmt.Errorf("setfsgid %d: the ids are %d", gid, got)
	}
	if got, _ := unix.SetfsuidRetUid(-1); got != uid {
		return fmt.Errorf("setfsuid %d: the ids are %d", uid, got)
	}
	return nil
}
