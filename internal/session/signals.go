package session

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/protocol"
)

// patience is how long an interrupted command may take to end by itself.
const patience = 2 * time.Second

// forward turns the signals that reach crossroot into orders: they go to the command; a second one, or an interrupt
// that isn't heeded, kills the run. SIGTTOU and SIGTTIN can't stop crossroot while it restores the terminal.
func (r *run) forward() (<-chan protocol.Order, func()) {
	caught := make(chan os.Signal, 16)
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT} {
		if !signal.Ignored(s) { // by nohup, or a shell that put crossroot into the background
			signal.Notify(caught, s)
		}
	}
	signal.Ignore(unix.SIGTTOU)
	orders := make(chan protocol.Order)
	end := make(chan struct{})
	send := func(o protocol.Order) {
		select {
		case orders <- o:
		case <-end:
		}
	}
	go func() {
		ending := 0
		var overdue <-chan time.Time
		for {
			select {
			case <-end:
				return
			case <-overdue:
				send(protocol.Order{Kind: protocol.OrderKill})
			case s := <-caught:
				switch s {
				case unix.SIGWINCH:
					r.stdio.resize()
					continue
				case unix.SIGCONT:
					if err := r.stdio.takeInput(); err != nil {
						r.warn(err.Error())
					}
					continue
				case unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT:
					r.interrupted.Store(int32(s.(syscall.Signal)))
					if ending++; ending > 1 {
						send(protocol.Order{Kind: protocol.OrderKill})
						continue
					}
					if s == unix.SIGINT {
						overdue = time.After(patience)
					}
				}
				send(protocol.Order{Kind: protocol.OrderSignal, Signal: int(s.(syscall.Signal))})
			}
		}
	}()
	return orders, func() {
		signal.Stop(caught)
		close(end)
	}
}
