package keeper

import (
	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/dispatcher"
)

// Present reports whether a keeper answers this process already: it is part of a wrap. The kernel allows one listener
// for a process, so that neither another wrap nor a run can be had.
func Present() bool {
	r, err := unix.PrctlRetInt(dispatcher.Magic, dispatcher.RequestPresent, 0, 0, 0)
	return err == nil && r == dispatcher.Present
}
