// Package transaction is what one run changed in a target root, and its commit: it reads the upper directory that an
// overlay left behind (Inspect), says what changed (Plan.Changes), and makes ROOT so (Plan.Commit), whole or not at
// all.
//
// It promises that ROOT's inodes are replaced and never written into, that until everything new is staged and synced
// nothing of ROOT has changed, that a failure after that is undone, and that no link, mount or rename in ROOT or in
// the upper leads it elsewhere. It must not know how the overlay was mounted, what ran in it, or what the user is
// told; both trees are hostile, but nobody may write to the upper any more.
package transaction

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/kernel/at"
)

// Kind is what happened to a path.
type Kind string

// The kinds of change.
const (
	Added    Kind = "added"
	Changed  Kind = "changed"  // content, link target or type
	Deleted  Kind = "deleted"  // every path of a deleted tree is listed
	Metadata Kind = "metadata" // owner, mode, attributes or times only
)

// Change is one changed path. Entries that were created and deleted within the run don't appear.
type Change struct {
	Path string `json:"path"` // absolute in the root, raw bytes
	Kind Kind   `json:"kind"`
	Type string `json:"type"` // file, directory, symlink, fifo, character device, block device; of what was deleted: its old type
}

// Node is a device node that the broker recorded in place of making it.
type Node struct {
	Block        bool // block device, else character device
	Major, Minor uint32
	Mode         uint32 // permission bits; the owner and the times are the placeholder's
}

// Options of Inspect; the zero value works.
type Options struct {
	// Drop lists mount points that crossroot itself made in the upper (absolute paths): empty directories there are
	// no change.
	Drop []string
	// Nodes maps absolute paths of empty placeholder files to the device nodes that they stand for.
	Nodes map[string]Node
	// MakeNode makes a device node called name in dir, mode and type as n says. nil: nodes are reported (Warnings),
	// not made.
	MakeNode func(dir *os.File, name string, n Node) error
	// SameMount says that upper and lower are reachable through one mount: new files are renamed out of the upper,
	// which is spent afterwards, also when Commit fails.
	SameMount bool
	// Started is Now() from just before the overlay was mounted. Lower paths that changed since are conflicts. Zero:
	// no check.
	Started at.Time
	// BeforePublish, if set, is called by Commit when everything new is staged and synced and nothing of ROOT has
	// changed yet: the place of the journal. An error from it leaves ROOT as it was.
	BeforePublish func(ctx context.Context, p *Plan) error
	// NoSync leaves out both syncs: ROOT may then be torn by a crash of the machine.
	NoSync bool
}

// Now is the clock for Options.Started.
func Now() at.Time { return at.Clock() }

// Plan is what a run changed and the operations that will make ROOT so.
type Plan struct {
	upper, lower *os.File
	top          *at.Dir
	topBefore    at.Stat // ROOT's top directory
	device       at.Inode
	o            Options

	changes  []change
	warnings []string
	bytes    int64 // to be written
	inodes   int64

	stage   []stageOp
	publish []publishOp
	meta    []*metaOp
	entries int // numbered entries in the stage

	sameMount bool
}

// change is a Change whose path isn't made before somebody asks: paths in deep trees are long.
type change struct {
	dir  *at.Dir
	name string // "" for dir itself
	kind Kind
	typ  at.Type
}

// Changes lists what changed, sorted by path.
func (p *Plan) Changes() []Change {
	out := make([]Change, 0, len(p.changes))
	for _, c := range p.changes {
		path := c.dir.Path()
		if c.name != "" {
			path = c.dir.Join(c.name)
		}
		out = append(out, Change{Path: path, Kind: c.kind, Type: c.typ.String()})
	}
	slices.SortStableFunc(out, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// Warnings are sentences about what Commit will not carry over exactly, sorted as found.
func (p *Plan) Warnings() []string { return slices.Clone(p.warnings) }

// Empty says that Commit has nothing to do.
func (p *Plan) Empty() bool {
	return len(p.publish) == 0 && len(p.meta) == 0
}

// Totals are the figures of a plan.
type Totals struct {
	Added, Changed, Deleted, Metadata int
	Bytes                             int64 // file contents that the run wrote, without holes
	Inodes                            int64 // inodes that ROOT's file system must provide
}

// Totals counts.
func (p *Plan) Totals() Totals {
	t := Totals{Bytes: p.bytes, Inodes: p.inodes}
	for _, c := range p.changes {
		switch c.kind {
		case Added:
			t.Added++
		case Changed:
			t.Changed++
		case Deleted:
			t.Deleted++
		case Metadata:
			t.Metadata++
		}
	}
	return t
}

// Describe yields one line for each operation of Commit, in order, paths quoted.
func (p *Plan) Describe(yield func(string) bool) {
	for _, op := range p.stage {
		if !yield(op.Describe()) {
			return
		}
	}
	for _, op := range p.publish {
		if !yield(op.Describe()) {
			return
		}
	}
	for _, op := range p.meta {
		if !yield(op.Describe()) {
			return
		}
	}
}
