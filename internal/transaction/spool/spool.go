// Package spool decides where a run's upper directory lives: in memory (a tmpfs with a size limit) or on ROOT's own
// disk. The decision can't be changed in the middle of a run, so memory is chosen only where it clearly suffices. It is
// pure: the caller asks the machine, and it must not know how.
package spool

import (
	"fmt"
)

// Where is what the user asked for, or the decision.
type Where string

// The places. Auto is no decision.
const (
	Auto   Where = "auto"
	Memory Where = "memory"
	Disk   Where = "disk"
)

const (
	mib = 1 << 20
	gib = 1 << 30

	// enough is what a whole run of a package manager may write before it is called large: the second stage of a
	// Debian minbase writes 0.3 GB, a desktop's some GB.
	enough = gib
	// least is below what no run makes sense.
	least = 16 * mib
	// perInode is the memory that a tmpfs needs for an inode beside its data (Linux: shmem inode, dentry, small
	// attributes), with a margin.
	perInode = 4096
)

// Facts are what the machine has, in bytes. What isn't known is 0, if nothing else is said.
type Facts struct {
	MemAvailable int64  // MemAvailable of /proc/meminfo
	MemoryLimit  int64  // of the control group, its memory.max; 0: none
	MemoryUsed   int64  // of the control group, without what can be reclaimed
	RootBytes    int64  // what ROOT holds, a hint: a run that rewrites all of it must fit
	DiskFree     int64  // on ROOT's file system
	MemoryFails  string // why an upper on tmpfs can't be had (no user.* attributes before Linux 6.6); "" if it can
	DiskFails    string // why an upper on ROOT's file system can't be had (read-only, no attributes); "" if it can
}

// Choice is the decision.
type Choice struct {
	Where  Where  // Memory or Disk
	Size   int64  // Memory: the tmpfs's size limit, bytes; 0 for Disk
	Inodes int64  // Memory: its limit of inodes; 0 for Disk
	Reason string // half a sentence for the report
}

// Choose decides. want is Auto, Memory or Disk; what the user wants and can't have is an error.
func Choose(want Where, f Facts) (Choice, error) {
	budget := f.budget()
	switch want {
	case Memory:
		if f.MemoryFails != "" {
			return Choice{}, fmt.Errorf("choose spool: memory: %s (use --spool disk)", f.MemoryFails)
		}
		if budget < least {
			return Choice{}, fmt.Errorf("choose spool: memory: only %d MiB are free (use --spool disk)", budget/mib)
		}
		return memory(budget, "asked for"), nil
	case Disk:
		if f.DiskFails != "" {
			return Choice{}, fmt.Errorf("choose spool: disk: %s (use --spool memory)", f.DiskFails)
		}
		return Choice{Where: Disk, Reason: "asked for"}, nil
	case Auto:
		return auto(budget, f)
	}
	return Choice{}, fmt.Errorf("choose spool: %q is none of auto, memory, disk", string(want))
}

func auto(budget int64, f Facts) (Choice, error) {
	switch {
	case f.MemoryFails != "" && f.DiskFails != "":
		return Choice{}, fmt.Errorf("choose spool: neither memory (%s) nor disk (%s) will do", f.MemoryFails, f.DiskFails)
	case f.MemoryFails != "":
		return Choice{Where: Disk, Reason: f.MemoryFails}, nil
	case f.DiskFails != "" && budget < least:
		return Choice{}, fmt.Errorf("choose spool: disk: %s; memory: only %d MiB are free", f.DiskFails, budget/mib)
	case f.DiskFails != "":
		return memory(budget, f.DiskFails), nil
	case budget >= f.need():
		return memory(budget, "memory suffices"), nil
	case f.DiskFree > 0 && f.DiskFree < budget:
		return memory(budget, "the disk has even less room than memory"), nil
	}
	return Choice{Where: Disk, Reason: fmt.Sprintf("only %d MiB of memory are free for it", budget/mib)}, nil
}

// budget is the memory that a run may fill: half of what is free, so that the programs in it have as much.
func (f Facts) budget() int64 {
	free := f.MemAvailable
	if f.MemoryLimit > 0 {
		free = min(free, max(0, f.MemoryLimit-f.MemoryUsed))
	}
	return free / 2
}

// need is what clearly suffices: a large run, or a run that rewrites ROOT.
func (f Facts) need() int64 {
	return max(enough, f.RootBytes+f.RootBytes/2)
}

func memory(size int64, reason string) Choice {
	return Choice{Where: Memory, Size: size, Inodes: size / perInode, Reason: reason}
}

// Space is what the upper's file system has left after a run.
type Space struct {
	Bytes, TotalBytes   int64
	Inodes, TotalInodes int64 // TotalInodes 0: it doesn't count inodes
}

// LooksFull says that a run has filled the upper's file system, also when every program in it hid the error and exited
// with 0: what it wrote may then be cut off. It is a hint with false alarms only in the last hundredth (at most 1 MiB).
// A run that removes the partial file is not noticed.
func LooksFull(s Space) bool {
	if s.TotalInodes > 0 && s.Inodes <= 0 {
		return true
	}
	return s.TotalBytes > 0 && s.Bytes < min(s.TotalBytes/100, mib)
}
