package keeper

import (
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
)

// Names under which crossroot's own executable is started again.
const (
	Name      = "crossroot-keeper"
	FirstName = "crossroot-first"
)

// Setup starts a wrap (outside → keeper).
type Setup struct {
	Command []string
	Env     []string
	Workdir string

	Image      string // the dispatcher's image, a path on the host
	Emulators  []protocol.Emulator
	UIDs, GIDs []protocol.Range

	NoNet    bool
	NoSync   bool
	Protect  bool
	Writable []string // with Protect: absolute paths that stay writable
	Stubs    bool

	Policy     []byte
	PolicyName string
	Fidelity   policy.Fidelity
}

// Event is what the keeper tells outside.
type Event struct {
	Kind    EventKind
	Text    string            `json:",omitempty"`
	Failure *protocol.Failure `json:",omitempty"`
	Exit    *protocol.Exit    `json:",omitempty"`
	Roots   []Root            `json:",omitempty"`
	// Of a wish for tools. The first for a root comes with its descriptor, those for one whose packages have changed with
	// what they are now.
	ID       int                `json:",omitempty"`
	Root     int                `json:",omitempty"` // the root's number
	Arch     string             `json:",omitempty"`
	Name     string             `json:",omitempty"` // the root's path
	Packages *protocol.Packages `json:",omitempty"`
}

// EventKind names an event.
type EventKind string

// The events of a wrap.
const (
	EventStarted EventKind = "started"
	EventTools   EventKind = "tools" // which tool root for this root? Answered by OrderTools
	EventWarning EventKind = "warning"
	EventExited  EventKind = "exited" // Exit, Roots
	EventFailed  EventKind = "failed" // Failure
)

// Order is what the outside process tells.
type Order struct {
	Kind   OrderKind
	Signal int

	// Of OrderTools: directories of the tool root on the host; none: everything is emulated, or nothing has changed.
	ID          int
	Base, Extra string
	From        string // in words
	Error       string // why nothing better can be had
}

// OrderKind names an order.
type OrderKind string

// The orders.
const (
	OrderSignal OrderKind = "signal"
	OrderKill   OrderKind = "kill"
	OrderTools  OrderKind = "tools"
)

// Root is what was executed in one root.
type Root struct {
	Name      string             `json:"root"`
	Arch      string             `json:"arch"`
	Tools     string             `json:"tools"`
	Programs  []protocol.Program `json:"programs"`
	Truncated bool               `json:"truncated,omitempty"`
}
