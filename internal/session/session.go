// Package session enters a target root for one run, seen from outside: it opens and locks ROOT, finds the tool root
// and the emulator, starts the worker in its user namespace with the right id maps, proxies the standard streams,
// keeps time, and gives the order to commit or discard. It promises that ROOT is changed only by a commit that it
// ordered. It knows nothing of the command line's looks, and leaves mounts, decisions and commits to the worker.
package session

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/crossroot/crossroot/internal/keeper"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
)

// Keep says when a run's changes are kept.
type Keep string

// When to keep.
const (
	KeepSuccess Keep = "success" // when the command succeeds
	KeepAlways  Keep = "always"
	KeepNever   Keep = "never"
	KeepAsk     Keep = "ask" // Options.Ask decides
)

// Spool says where the changes lie until the commit.
type Spool string

// Where changes lie.
const (
	SpoolAuto   Spool = "auto"
	SpoolMemory Spool = "memory"
	SpoolDisk   Spool = "disk"
)

// Bind is one --bind.
type Bind struct {
	Source, Target string
	ReadOnly       bool
}

// Options of a run; the zero value runs with the host's tools, exact fidelity, no network, and keeps on success.
type Options struct {
	Command    []string
	Env        []string // additions to the clean environment, K=V
	Workdir    string   // "" is /
	Hostname   string
	Keep       Keep
	Ask        func(*protocol.Report) bool // for KeepAsk
	Tools      string                      // ToolsHost (""), ToolsTwin, ToolsAuto, or a directory
	Offline    bool                        // a twin of what was downloaded before
	Policy     string                      // the user's policy file
	Fidelity   policy.Fidelity
	NetHost    bool
	Binds      []Bind
	Timeout    time.Duration
	Spool      Spool
	Wait       bool   // wait for ROOT when another run holds it
	Qemu       string // emulator, "" searches PATH
	NoEmulator bool
	NullStdin  bool // standard input is /dev/null, whatever the caller's is

	Dirs     Dirs
	Stdio    [3]*os.File // nil: os.Stdin, os.Stdout, os.Stderr
	Warn     func(text string)
	Progress func(done, total int, what string) // building the tool root

	EmulateAll bool                  // emulate everything that can be: the reference of a comparison
	Except     []protocol.Executable // from EmulateAll: decided as ever
	Manifest   bool                  // Result.Manifest is wanted
}

// Result is how a run ended.
type Result struct {
	Exit     protocol.Exit
	TimedOut bool
	Killed   bool // by a second signal, or by one that the command didn't heed
	// Interrupted is the signal that asked this process, and so the command, to end; 0: none did.
	Interrupted int
	Committed   bool
	Report      *protocol.Report
	Manifest    []byte // of what changed, in package tree's text form
	Arch        string
	Tools       string // where the native programs came from
	Duration    time.Duration
}

// Run runs a command in ROOT. An *Error means that crossroot failed and ROOT is unchanged (but see Error.Changed);
// otherwise the command ran, or could not be executed (Result.Exit.Exec).
func Run(ctx context.Context, root *Root, o Options) (*Result, error) {
	if keeper.Present() {
		return nil, fail(KindNested, root.Name, errors.New("a run inside a wrap can't be had; the wrap dispatches by itself: chroot ROOT COMMAND"))
	}
	began := time.Now()
	r := &run{root: root, o: o, began: began, last: began}
	result, err := r.do(ctx)
	if result != nil {
		result.Duration = time.Since(began)
	}
	return result, classify(err)
}
