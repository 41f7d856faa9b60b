package worker

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/kernel/binfmt"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// prepareDispatch registers the dispatcher for the foreign architectures and makes the broker.
func (w *worker) prepareDispatch() error {
	s := &w.setup
	if err := w.network(); err != nil {
		return err
	}
	if s.Hostname != "" {
		if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
			return os.NewSyscallError("sethostname", err)
		}
	}
	target, ok := arch.Lookup(s.Arch)
	if !ok {
		return fmt.Errorf("no architecture %q", s.Arch)
	}
	decisions, err := policy.Default()
	if err != nil {
		return err
	}
	if len(s.Policy) > 0 {
		user, err := policy.Parse(s.PolicyName, s.Policy)
		if err != nil {
			return &Error{Kind: "policy", Path: s.PolicyName, Err: err}
		}
		decisions = decisions.With(user)
	}
	o := broker.Options{
		Root: w.layout.merged, Target: target, Host: arch.Host(), Policy: decisions, Fidelity: s.Fidelity,
		Emulators: map[string]bool{}, Dispatch: len(s.Foreign) > 0, EmulateAll: s.EmulateAll,
		Except: s.Except,
	}
	o.Record, o.Follower = "/record/log", w.follower()
	for _, e := range s.Emulators {
		o.Emulators[e.Arch] = true
	}
	if s.ToolBase != nil {
		if o.Tools, err = toolroot.ReadIndex("/tools/base", "/tools/extra"); err != nil {
			return err
		}
	}
	if w.broker, err = broker.New(o); err != nil {
		return err
	}
	if len(s.Foreign) == 0 {
		return nil
	}
	if w.handlers, err = binfmt.Open(); err != nil {
		return &Error{Kind: "binfmt", Err: err}
	}
	for _, name := range s.Foreign {
		if err := w.register(name); err != nil {
			return err
		}
	}
	return nil
}

// register makes the dispatcher the handler of one architecture's executables.
func (w *worker) register(name string) error {
	a, ok := arch.Lookup(name)
	if !ok {
		return fmt.Errorf("no architecture %q", name)
	}
	dir := protocol.HiddenDir + "/" + name
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Symlink("../self", dir+"/entry"); err != nil {
		return err
	}
	for _, e := range w.setup.Emulators {
		if e.Arch == name && e.CPU != "" {
			if err := os.Symlink(e.CPU, dir+"/cpu"); err != nil {
				return err
			}
		}
	}
	magic, mask := a.Magic()
	if err := w.handlers.Register(name, magic, mask, dir+"/entry", "POCF"); err != nil {
		return &Error{Kind: "binfmt", Err: err}
	}
	return nil
}

// network brings the loopback of the run's own network namespace up.
func (w *worker) network() error {
	if w.setup.NetHost {
		return nil
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil // a kernel without IPv4 has no loopback to bring up
	}
	defer unix.Close(s)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r); err != nil {
		w.warn("bring up the loopback interface: %v", err)
	}
	return nil
}
