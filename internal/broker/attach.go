package broker

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/seccomp"
)

// A broker that serves a root which a builder owns knows the root only while processes are dispatched in it: an open
// descriptor would keep the builder from unmounting it.

// Attach gives the broker the root again; what it knows of it by inotify is looked at anew. It owns the descriptor.
func (b *Broker) Attach(root *os.File) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.costs.setRoot(root)
	if b.Root != nil {
		b.Root.Close()
	}
	b.Root = root
	if b.perl.ready {
		_ = b.renewPerl() // an error leaves the farm as it is
	}
	b.expirePython()
	b.expireLacking()
}

// Detach lets go of the root.
func (b *Broker) Detach() {
	b.closeWatches()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.costs.setRoot(nil)
	if b.Root != nil {
		b.Root.Close()
		b.Root = nil
	}
}

// Miss answers a MISS for a broker that doesn't serve a listener itself; top is the path of the peer's root as this
// process sees it. 0 is success.
func (b *Broker) Miss(l *seccomp.Listener, r seccomp.Request, top string) unix.Errno {
	return b.miss(l, r, top)
}
