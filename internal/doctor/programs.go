package doctor

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/policy"
)

// Programs counts the commands in a root's PATH by what would become of them.
type Programs struct {
	Commands int
	Outcomes map[policy.Outcome]int // of executables
	Scripts  int
	Broken   Sample // what can't be executed
	Helpless Sample // would be emulated, and there is no emulator
}

// commands decides for every name in the usual directories, as a run would.
func commands(b *broker.Broker, dir *os.File) *Programs {
	p := &Programs{Outcomes: map[policy.Outcome]int{}}
	seen := map[[2]uint64]bool{}
	for _, d := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		list, err := fd.Open(dir, d, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		names, err := list.Readdirnames(-1)
		if err != nil || unix.Fstat(int(list.Fd()), &st) != nil || seen[[2]uint64{st.Dev, st.Ino}] {
			list.Close()
			continue
		}
		list.Close()
		seen[[2]uint64{st.Dev, st.Ino}] = true
		for _, name := range names {
			p.count(b, d+"/"+name)
		}
	}
	return p
}

func (p *Programs) count(b *broker.Broker, name string) {
	x, err := b.Explain(name, "")
	path := func() string { return name }
	switch {
	case errors.Is(err, fd.ErrNotRegular):
		return
	case err != nil:
		p.Broken.add(path, err.Error())
		return
	case x.Script:
		p.Scripts++
	default:
		p.Outcomes[x.Decision.Outcome]++
		if x.Decision.Outcome == policy.Emulate && !x.Emulator {
			p.Helpless.add(path, x.Arch)
		}
	}
	p.Commands++
}
