package worker

import (
	"os"
	"strconv"

	"github.com/crossroot/crossroot/internal/protocol"
)

// sample lets the broker see how much time emulated programs take: a report without that is a report, too.
func (w *worker) sample() {
	if len(w.setup.Emulators) == 0 {
		return
	}
	proc, err := os.Open("/proc/" + strconv.Itoa(w.init.Pid) + "/root" + protocol.HiddenDir + "/proc")
	if err == nil {
		w.broker.Sample(proc)
	}
}
