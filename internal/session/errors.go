package session

import (
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
	KindUserns     Kind = "userns"     // no user namespace to be had
	KindSubIDs     Kind = "subids"     // no subordinate ids
	KindOwner      Kind = "owner"      // ROOT belongs to ids that aren't mapped
	KindBinfmt     Kind = "binfmt"     // no binfmt_misc in user namespaces
	KindOverlay    Kind = "overlay"    // overlay refused
	KindMountpoint Kind = "mountpoint" // /proc, /dev, /.cr of ROOT
	KindBind       Kind = "bind"       // --bind
	KindPolicy     Kind = "policy"     // the user's policy
	KindTools      Kind = "tools"      // the tool root
	KindEmulator   Kind = "emulator"   // --qemu
	KindSpool      Kind = "spool"      // no place for the changes
	KindInspect    Kind = "inspect"    // the changes can't be committed
	KindCommit     Kind = "commit"     // commit failed
	KindReadOnly   Kind = "readonly"   // ROOT can't be written
	KindKilled     Kind = "killed"
	KindInit       Kind = "init"
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

// remote is an error that the worker reported.
type remote string

func (r remote) Error() string { return string(r) }

func fromWorker(f *protocol.Failure) *Error {
	return &Error{Kind: Kind(f.Kind), Path: f.Path, Err: remote(f.Message), Changed: f.Changed}
}
