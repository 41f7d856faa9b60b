package session

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/protocol"
)

// Kind classes the failures of a run, for hints and exit codes.
type Kind string

// The kinds of failure. The worker's (protocol.Failure.Kind) are among them.
const (
	KindRoot       Kind = "root"       // ROOT can't be opened
	KindNotRoot    Kind = "notroot"    // nothing of a root file system in it
	KindArch       Kind = "arch"       // CPU not known
	KindBusy       Kind = "busy"       // another run holds ROOT
	KindState      Kind = "state"      // crossroot's own directories
	KindKernel     Kind = "kernel"     // a system call is missing
	KindRights     Kind = "rights"     // a system call is refused
	KindUserns     Kind = "userns"     // no user namespace to be had
	KindContainer  Kind = "container"  // root of a container that has too few ids
	KindSubIDs     Kind = "subids"     // no subordinate ids
	KindOwner      Kind = "owner"      // ROOT belongs to ids that aren't mapped
	KindProc       Kind = "proc"       // no new /proc
	KindBinfmt     Kind = "binfmt"     // no binfmt_misc in user namespaces
	KindOverlay    Kind = "overlay"    // overlay refused
	KindMountpoint Kind = "mountpoint" // /proc, /dev, /.cr of ROOT
	KindBind       Kind = "bind"       // --bind
	KindPolicy     Kind = "policy"     // the user's policy
	KindTools      Kind = "tools"      // the tool root
	KindTwin       Kind = "twin"       // the twin, or its packages
	KindEmulator   Kind = "emulator"   // --qemu
	KindFull       Kind = "full"       // the changes filled their file system
	KindSpool      Kind = "spool"      // no place for the changes
	KindInspect    Kind = "inspect"    // the changes can't be committed
	KindCommit     Kind = "commit"     // commit failed
	KindReadOnly   Kind = "readonly"   // ROOT can't be written
	KindOutput     Kind = "output"     // what the command wrote can't be
	KindKilled     Kind = "killed"
	KindInit       Kind = "init"
	KindNested     Kind = "nested" // inside a wrap
	KindInternal   Kind = "internal"
)

// Error is a failure of crossroot itself: exit code 125.
type Error struct {
	Kind    Kind
	Path    string
	Err     error
	Changed bool // ROOT may have been changed in part
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func fail(kind Kind, path string, err error) *Error { return &Error{Kind: kind, Path: path, Err: err} }

func fromWorker(f *protocol.Failure) *Error {
	return &Error{Kind: Kind(f.Kind), Path: f.Path, Err: f, Changed: f.Changed}
}

// classify gives a failure that nobody typed a kind by its error number: what the kernel lacks or refuses is the
// machine's fault, and doctor knows more.
func classify(err error) error {
	var typed *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typed) && typed.Kind != KindInternal && typed.Kind != KindInit:
		return err
	}
	kind := KindInternal
	switch {
	case errors.Is(err, unix.ENOSYS):
		kind = KindKernel
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		kind = KindRights
	case typed != nil:
		kind = typed.Kind
	}
	e := &Error{Kind: kind, Err: err}
	if typed != nil {
		e.Path, e.Changed = typed.Path, typed.Changed
	}
	return e
}
