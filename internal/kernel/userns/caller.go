package userns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Caller is who wants a namespace, as far as the decision needs it.
type Caller struct {
	UID, GID int
	Name     string // in /etc/passwd, else the number
	// The ids of the namespace that the caller is in; Outside and Size are what its parent sees. nil: unknown.
	UIDs, GIDs     []Range
	SubUID, SubGID []byte // contents of /etc/subuid and /etc/subgid; a missing file is an empty one
}

// ReadCaller describes this process.
func ReadCaller() Caller {
	c := Caller{UID: os.Geteuid(), GID: os.Getegid()}
	c.Name = userName(c.UID)
	c.SubUID, _ = os.ReadFile("/etc/subuid")
	c.SubGID, _ = os.ReadFile("/etc/subgid")
	c.UIDs, c.GIDs = readMap("/proc/self/uid_map"), readMap("/proc/self/gid_map")
	return c
}

// Initial reports whether the caller is in the machine's first user namespace, where root is the real one.
func (c Caller) Initial() bool {
	return c.UIDs == nil || (len(c.UIDs) == 1 && c.UIDs[0].Outside == 0 && c.UIDs[0].Size == 1<<32-1)
}

// Mapped reports whether the caller's user id means anything in the namespace that it is in.
func (c Caller) Mapped() bool {
	for _, r := range c.UIDs {
		if c.UID >= r.Inside && c.UID < r.Inside+r.Size {
			return true
		}
	}
	return c.UIDs == nil
}

// ErrFewIDs: the namespace that root is in (a container's) has too few ids.
var ErrFewIDs = errors.New("too few ids")

// Map decides the ids of the caller's run. Real root gets the shifted range, with identity (the fallback for file
// systems without idmapped mounts) the ids that it has. Root of a container keeps the container's ids: they are
// shifted already. Others get their subordinate ranges.
func (c Caller) Map(identity bool) (Map, error) {
	switch {
	case c.UID != 0:
		return ForUser(c.Name, c.UID, c.GID, bytes.NewReader(c.SubUID), bytes.NewReader(c.SubGID))
	case c.Initial():
		return ForRoot(identity), nil
	}
	uids, err := same(c.UIDs)
	if err != nil {
		return Map{}, err
	}
	gids, err := same(c.GIDs)
	return Map{UIDs: uids, GIDs: gids}, err
}

// same maps the first Count ids of a namespace to themselves: a range may not span two of the outer ones.
func same(outer []Range) ([]Range, error) {
	var out []Range
	next := 0
	for next < Count {
		size := 0
		for _, r := range outer {
			if r.Inside <= next && next < r.Inside+r.Size {
				size = min(r.Inside+r.Size, Count) - next
			}
		}
		if size == 0 {
			return nil, fmt.Errorf("%w: root of this container has %d, %d are needed", ErrFewIDs, next, Count)
		}
		out = append(out, Range{next, next, size})
		next += size
	}
	return out, nil
}

// readMap reads /proc/PID/uid_map or gid_map (user_namespaces(7)); nil when there is none.
func readMap(file string) []Range {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return parseMap(string(text))
}

func parseMap(text string) []Range {
	all := []Range{}
	for line := range strings.Lines(text) {
		var n [3]int
		f := strings.Fields(line)
		if len(f) != len(n) {
			continue
		}
		for i := range n {
			n[i], _ = strconv.Atoi(f[i])
		}
		all = append(all, Range{n[0], n[1], n[2]})
	}
	return all
}

// userName is the user's name in /etc/passwd, else the number: subuid(5) knows both. (Package os/user would make the
// executable dynamic wherever cgo is on, and the dispatcher must be static.)
func userName(uid int) string {
	text, _ := os.ReadFile("/etc/passwd")
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == strconv.Itoa(uid) {
			return f[0]
		}
	}
	return strconv.Itoa(uid)
}

// FirstFree returns the first id of a range of Count that nobody has in /etc/subuid or /etc/subgid yet.
func FirstFree(subuid, subgid []byte) int {
	first := 100000 // where login.defs starts
	for _, text := range []string{string(subuid), string(subgid)} {
		for line := range strings.Lines(text) {
			f := strings.Split(strings.TrimSpace(line), ":")
			if len(f) != 3 {
				continue
			}
			start, err1 := strconv.Atoi(f[1])
			size, err2 := strconv.Atoi(f[2])
			if err1 == nil && err2 == nil && size > 0 && start > 0 {
				first = max(first, start+size)
			}
		}
	}
	return first
}

// BuilderMap decides the ids of a builder that runs unconfined: real root, or a container's, keeps every id that it has,
// a user is root and has all the subordinate ids, as under `podman unshare`.
func (c Caller) BuilderMap() (Map, error) {
	if c.UID != 0 {
		return ForUser(c.Name, c.UID, c.GID, bytes.NewReader(c.SubUID), bytes.NewReader(c.SubGID))
	}
	return Map{UIDs: visible(all(c.UIDs)), GIDs: visible(all(c.GIDs))}, nil
}

// visible leaves the last id of a map of all ids out: by such a map container tools and systemd take a namespace for the
// machine's own, and then do what can't be done in it, such as making device nodes.
func visible(ranges []Range) []Range {
	if last := len(ranges) - 1; last == 0 && ranges[last] == (Range{0, 0, 1<<32 - 1}) {
		ranges[last].Size--
	}
	return ranges
}

// all maps every id of a namespace to itself.
func all(outer []Range) []Range {
	if len(outer) == 0 {
		return []Range{{0, 0, 1<<32 - 1}}
	}
	var out []Range
	for _, r := range outer {
		out = append(out, Range{r.Inside, r.Inside, r.Size})
	}
	return out
}
