// Package protocol is what the processes of one run tell each other: the command line (outside), the worker (in the
// run's user namespace) and pid 1 (in its pid namespace). Plain data, carried by kernel/fdsock; no behaviour.
package protocol

import (
	"github.com/crossroot/crossroot/internal/policy"
)

// Names under which crossroot's own executable is started again.
const (
	WorkerName = "crossroot-worker"
	InitName   = "crossroot-init"
	StageName  = "crossroot-stage"
	// ScannerName reads a tree with a user's subordinate ids.
	ScannerName = "crossroot-scanner"
)

// HiddenDir is the directory inside that holds the tool root, the exec map and the dispatcher.
const HiddenDir = "/.cr"

// Tree is a directory or file that the worker attaches: descriptor number FD of the message (a detached mount, already
// idmapped), or, when FD is negative, a path that the worker opens with the user's own rights.
type Tree struct {
	Path string
	FD   int
	// Dev and Ino, when Ino isn't 0, are what must be found at Path: it was opened and checked before.
	Dev, Ino uint64
}

// Bind is one --bind: Source on the host, Target inside.
type Bind struct {
	Source   Tree
	Target   string
	ReadOnly bool
}

// Range maps Size ids from Inside to Outside.
type Range struct{ Inside, Outside, Size int }

// Stdio says how one of descriptors 0 to 2 reaches the command.
type Stdio string

// The ways of a standard descriptor.
const (
	StdioFD   Stdio = "fd"   // a pipe or socket, passed on
	StdioPty  Stdio = "pty"  // the run's private terminal
	StdioNull Stdio = "null" // the sandbox's /dev/null
)

// Emulator runs executables of one architecture.
type Emulator struct {
	Arch string
	File Tree
	// Tool is the emulator's path inside when it is dynamic: File is then a directory, a layer of the tool root.
	Tool string
	CPU  string // model, "" for the emulator's own choice
}

// Setup starts a run (outside → worker). Stdio descriptors come first among the message's descriptors, in the order
// 0, 1, 2, one for each that is StdioFD.
type Setup struct {
	Root     Tree
	RootName string // for messages
	// RootDev and RootIno are ROOT's directory, as it was opened and locked.
	RootDev, RootIno uint64
	Image            Tree // the dispatcher's image
	Binds            []Bind

	Command  []string
	Env      []string
	Workdir  string
	Hostname string
	Stdio    [3]Stdio
	Rows     uint16
	Columns  uint16

	Arch      string   // the target's architecture
	Foreign   []string // architectures to dispatch, the target's own first; empty when the host runs it itself
	ToolBase  *Tree
	ToolExtra *Tree // variant for the target architecture
	// ToolCache, if not nil, is the directory of all tool roots: this one follows what the run installs.
	ToolCache  *Tree
	Emulators  []Emulator
	Policy     []byte // the user's policy, TOML
	PolicyName string
	Fidelity   policy.Fidelity

	UIDs, GIDs []Range
	NetHost    bool
	Resolv     []byte // resolv.conf for NetHost

	SpoolSize   int64 // limit of the upper's tmpfs in bytes; 0: the spool is a directory
	SpoolInodes int64
	// Spool is the directory for the upper, or, when RootEntry and SpoolEntry say which entries of it they are, the
	// directory above both ROOT and the spool: one mount, so that a commit renames. Root is unused then.
	Spool      *Tree
	RootEntry  string
	SpoolEntry string

	// EmulateAll makes every native outcome and every builtin that can be an emulation: the reference of a comparison.
	EmulateAll bool
	Except     []Executable // from EmulateAll: decided as ever
	Manifest   bool         // describe what changed, for a comparison (Event.Manifest)

	MakesNodes bool // the outside process can make device nodes at commit (real root)
}

// Executable is one executable of the target, or one applet of it.
type Executable struct{ Path, Applet string }

// Event is what the worker tells.
type Event struct {
	Kind   EventKind
	Error  *Failure `json:",omitempty"`
	Exit   *Exit    `json:",omitempty"`
	Report *Report  `json:",omitempty"`
	// Manifest describes the changed paths (package tree's text form), if the setup asked for it.
	Manifest []byte `json:",omitempty"`
	Text     string `json:",omitempty"`
	Node     *Node  `json:",omitempty"`
	// Packages are what the root's database says by now.
	Packages *Packages `json:",omitempty"`
}

// Packages are the parts of a Debian root's database as package twin/state reads them, of which nothing is believed.
type Packages struct {
	Status     []byte
	Updates    [][]byte
	Diversions []byte
	Merged     []string
}

// EventKind names an event.
type EventKind string

// The events of a run, in the order in which they come.
const (
	EventPty       EventKind = "pty"       // with the terminal's master descriptor
	EventStarted   EventKind = "started"   // the command runs
	EventWarning   EventKind = "warning"   // Text
	EventPackages  EventKind = "packages"  // Packages, any number of times: is there a better tool root? Answered with OrderTools
	EventExited    EventKind = "exited"    // Exit
	EventChanges   EventKind = "changes"   // Report: what would be committed; the worker waits for the order
	EventNode      EventKind = "node"      // Node, with the directory's descriptor: make a device node, answer with OrderNode
	EventCommitted EventKind = "committed" // Report, complete
	EventDiscarded EventKind = "discarded" // Report, complete
	EventFailed    EventKind = "failed"    // Error; nothing was changed unless Error.Changed
)

// Order is what the outside process tells the worker after Setup.
type Order struct {
	Kind   OrderKind
	Signal int
	Error  string `json:",omitempty"`
	// Base and Extra are the directories of a new tool root, in Setup.ToolCache; empty if there is none.
	Base, Extra string `json:",omitempty"`
}

// OrderKind names an order.
type OrderKind string

// The orders.
const (
	OrderSignal  OrderKind = "signal"
	OrderKill    OrderKind = "kill" // end everything now
	OrderCommit  OrderKind = "commit"
	OrderDiscard OrderKind = "discard"
	OrderNode    OrderKind = "node"  // answer to EventNode
	OrderTools   OrderKind = "tools" // answer to EventPackages: Base and Extra, or Error
)

// Exit is how the command ended.
type Exit struct {
	Code   int    `json:"code"`
	Signal int    `json:"signal,omitempty"`
	Exec   string `json:"exec,omitempty"` // the command could not be executed: why
	Errno  int    `json:"errno,omitempty"`
}

// Node is a device node to make at commit.
type Node struct {
	Name         string
	Mode         uint32 // with the type bits
	Major, Minor uint32
	UID, GID     int    // inside
	Ino          uint64 // of the placeholder
}

// Report is what a run did. Its JSON is also what --report writes: names once published stay.
type Report struct {
	Programs  []Program `json:"programs"`
	Scripts   []string  `json:"scripts,omitempty"`
	Changes   []Change  `json:"changes"`
	Nodes     []string  `json:"nodes,omitempty"` // device nodes that were asked for but not made
	Warnings  []string  `json:"warnings,omitempty"`
	Times     []Time    `json:"times"`
	Truncated bool      `json:"truncated,omitempty"` // the record of executions was full
	Twin      *Twin     `json:"twin,omitempty"`      // if the tools are from one
}

// Twin is how a run's tool root followed the packages of the root.
type Twin struct {
	Packages int        `json:"packages"`           // of the twin at the start
	AtEnd    int        `json:"packages_at_end"`    // and at the end
	Followed []Followed `json:"followed,omitempty"` // each time
	Failure  string     `json:"failure,omitempty"`  // why it followed no further
}

// Followed is one time.
type Followed struct {
	Packages int   `json:"packages"`
	Unpacked int   `json:"unpacked"` // that weren't in the cache
	Micro    int64 `json:"micro"`    // microseconds
	Changed  bool  `json:"changed"`  // the tool root did
}

// Program is one executable (or script, or applet) of the target that was executed.
type Program struct {
	Path    string         `json:"path"`
	Applet  string         `json:"applet,omitempty"`
	Outcome policy.Outcome `json:"outcome"`
	Row     string         `json:"row,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	Near    bool           `json:"near,omitempty"`
	Count   int            `json:"count"`
	// AboutSeconds is the CPU time that emulated executions took together, estimated from samples.
	AboutSeconds float64  `json:"about_seconds,omitempty"`
	Calls        []string `json:"calls,omitempty"` // of stubs: the arguments, the first few
}

// Change is one changed path.
type Change struct {
	Path string `json:"path"`
	Kind string `json:"kind"` // added, changed, deleted, metadata
	Type string `json:"type"`
}

// Time is how long a phase took.
type Time struct {
	Phase string `json:"phase"`
	Micro int64  `json:"micro"` // microseconds
}

// Init is what the worker tells pid 1 first. The descriptors are those of the standard streams that are StdioFD.
type Init struct {
	Command []string
	Env     []string
	Workdir string
	Stdio   [3]Stdio
	Rows    uint16
	Columns uint16
	Ranges  [2][]Range // of the outer namespace: uids, gids
	Filter  []byte     // the seccomp program, 8 bytes an instruction; empty: none
	Mounts  bool       // the worker will mount while the command runs
}

// InitEvent is what pid 1 tells the worker.
type InitEvent struct {
	Kind    InitKind
	Exit    *Exit    `json:",omitempty"`
	Failure *Failure `json:",omitempty"`
}

// InitKind names what pid 1 tells.
type InitKind string

// What pid 1 tells.
const (
	InitListener InitKind = "listener" // with the seccomp listener
	InitPty      InitKind = "pty"      // with the master
	InitStarted  InitKind = "started"
	InitExited   InitKind = "exited"
	InitFailed   InitKind = "failed" // Failure
)

// Stage is what pid 1 tells the process that becomes the command.
type Stage struct {
	Command []string
	Env     []string
	Workdir string
}
