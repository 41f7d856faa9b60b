// Package userns decides and writes the id maps of a run's user namespace: a shifted range for real root, the
// subordinate ranges for users, through newuidmap and newgidmap. The decision is pure over what the files say; it
// knows nothing of mounts.
package userns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Count is how many ids a root needs: Debian's and most others' range.
const Count = 65536

// Range maps Size ids from Inside (in the namespace) to Outside (on the host).
type Range struct{ Inside, Outside, Size int }

// Map is a namespace's id maps.
type Map struct {
	UIDs, GIDs []Range
	Helper     bool // written by newuidmap and newgidmap
	Alone      bool // one id only, by a process without rights: setgroups is given up for it (user_namespaces(7))
}

// Shift is the first host id of real root's range: far above what systems give out to users and containers, so that
// nothing on the host belongs to it.
const Shift = 0x7a000000

// ForRoot is the map of real root: ids 0…65535 stand for a range that owns nothing on the host. With identity (the
// fallback for file systems without idmapped mounts) they stand for themselves.
func ForRoot(identity bool) Map {
	start := Shift
	if identity {
		start = 0
	}
	r := []Range{{0, start, Count}}
	return Map{UIDs: r, GIDs: r}
}

// ErrNoSubIDs: the user has no usable subordinate range.
var ErrNoSubIDs = errors.New("no subordinate id range")

// ForUser is the map of an ordinary user: id 0 is the user, the rest its subordinate range.
func ForUser(name string, uid, gid int, subuid, subgid io.Reader) (Map, error) {
	u, err := find(subuid, "/etc/subuid", name, uid)
	if err != nil {
		return Map{}, err
	}
	g, err := find(subgid, "/etc/subgid", name, uid)
	if err != nil {
		return Map{}, err
	}
	return Map{
		UIDs:   []Range{{0, uid, 1}, {1, u.Outside, u.Size}},
		GIDs:   []Range{{0, gid, 1}, {1, g.Outside, g.Size}},
		Helper: true,
	}, nil
}

// find returns the user's first range with at least Count-1 ids (subuid(5): name or number, start, count).
func find(r io.Reader, file, name string, uid int) (Range, error) {
	small := 0
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		f := strings.Split(strings.TrimSpace(scanner.Text()), ":")
		if len(f) != 3 || (f[0] != name && f[0] != strconv.Itoa(uid)) {
			continue
		}
		start, err1 := strconv.Atoi(f[1])
		size, err2 := strconv.Atoi(f[2])
		if err1 != nil || err2 != nil || start <= 0 || size <= 0 {
			continue
		}
		if size >= Count-1 {
			return Range{1, start, min(size, Count)}, nil
		}
		small = max(small, size)
	}
	if small > 0 {
		return Range{}, fmt.Errorf("%w: %s gives %s only %d ids, %d are needed", ErrNoSubIDs, file, name, small, Count)
	}
	return Range{}, fmt.Errorf("%w: %s has none for %s", ErrNoSubIDs, file, name)
}

// Host returns the host's id for an id inside, and whether the map covers it.
func Host(ranges []Range, inside int) (int, bool) {
	for _, r := range ranges {
		if inside >= r.Inside && inside < r.Inside+r.Size {
			return r.Outside + inside - r.Inside, true
		}
	}
	return 0, false
}

// Inside returns the id inside for a host's id, and whether the map covers it.
func Inside(ranges []Range, host int) (int, bool) {
	for _, r := range ranges {
		if host >= r.Outside && host < r.Outside+r.Size {
			return r.Inside + host - r.Outside, true
		}
	}
	return 0, false
}

// Write maps the ids of the process's new user namespace.
func (m Map) Write(pid int) error {
	if m.Helper {
		if err := helper("newgidmap", pid, m.GIDs); err != nil {
			return err
		}
		return helper("newuidmap", pid, m.UIDs)
	}
	if m.Alone {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/setgroups", pid), []byte("deny"), 0); err != nil {
			return fmt.Errorf("write id map: %w", err)
		}
	}
	for file, ranges := range map[string][]Range{"gid_map": m.GIDs, "uid_map": m.UIDs} {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, file), []byte(text(ranges)), 0); err != nil {
			return fmt.Errorf("write id map: %w", err)
		}
	}
	return nil
}

func text(ranges []Range) string {
	var b strings.Builder
	for _, r := range ranges {
		fmt.Fprintf(&b, "%d %d %d\n", r.Inside, r.Outside, r.Size)
	}
	return b.String()
}

// ErrNoHelper: newuidmap or newgidmap is not installed, or not set-uid.
var ErrNoHelper = errors.New("id map helper not usable")

// helperError is an ErrNoHelper whose text says which and why.
type helperError string

func (e helperError) Error() string { return string(e) }

// Is makes it an ErrNoHelper.
func (e helperError) Is(target error) bool { return target == ErrNoHelper }

func helper(name string, pid int, ranges []Range) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return helperError(name + " is not installed")
	}
	args := []string{strconv.Itoa(pid)}
	for _, r := range ranges {
		args = append(args, strconv.Itoa(r.Inside), strconv.Itoa(r.Outside), strconv.Itoa(r.Size))
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		why := strings.TrimPrefix(strings.TrimSpace(string(out)), name+": ")
		if why == "" {
			why = err.Error()
		}
		return helperError(path + ": " + why)
	}
	return nil
}
