package transaction

import (
	"bytes"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/kernel/at"
)

const overlayPrefix = "user.overlay."

// marks are the overlay's own attributes of one upper inode.
type marks struct {
	opaque     bool // the directory hides the lower one
	xwhiteouts bool // the directory may hold whiteouts in attribute form (user.overlay.opaque=x, Linux 6.8)
	whiteout   bool
	origin     bool // copied up from a lower inode that had one name
	own        []string
}

// portable says whether an attribute belongs to the file rather than to this machine or to an overlay.
func portable(name string) bool {
	switch name {
	case "security.capability", "system.posix_acl_access", "system.posix_acl_default":
		return true
	}
	return strings.HasPrefix(name, "user.") && !isOverlay(name)
}

// machineOnly says whether an attribute is the host's label or checksum of a file: never carried over, never mentioned.
func machineOnly(name string) bool {
	switch name {
	case "security.selinux", "security.ima", "security.evm", "security.apparmor":
		return true
	}
	return strings.HasPrefix(name, "security.SMACK64")
}

// isOverlay covers user.overlay.*, trusted.overlay.* and what a nested overlay would have made of them.
func isOverlay(name string) bool {
	return strings.HasPrefix(name, overlayPrefix) || strings.HasPrefix(name, "trusted.overlay.")
}

// sortAttrs divides the attribute names of an upper inode into those that are carried over and the overlay's own;
// what only crossroot or an attacker could have put there is a *Refusal.
func (w *walker) sortAttrs(path func() string, names []string, value func(string) ([]byte, error)) ([]string, marks, error) {
	var m marks
	var keep []string
	for _, name := range names {
		switch {
		case portable(name):
			keep = append(keep, name)
		case isOverlay(name):
			if err := m.add(path, name, value); err != nil {
				return nil, m, err
			}
			m.own = append(m.own, name)
		case !machineOnly(name):
			w.warn("%q: the attribute %q is not carried over", path(), name)
		}
	}
	slices.Sort(keep)
	return keep, m, nil
}

// add takes in one attribute that the kernel's overlay writes into its upper (Linux 6.18, fs/overlayfs/overlayfs.h),
// and no other: redirect and metacopy are switched off, the rest is for layers that tools compose.
func (m *marks) add(path func() string, name string, value func(string) ([]byte, error)) error {
	switch strings.TrimPrefix(name, overlayPrefix) {
	case "impure", "uuid", "protattr":
		return nil
	case "origin":
		m.origin = true
		return nil
	case "whiteout":
		m.whiteout = true
		return nil
	case "opaque":
		val, err := value(name)
		if err != nil {
			return failed("read attribute", path(), err)
		}
		switch string(val) {
		case "y":
			m.opaque = true
			return nil
		case "x":
			m.xwhiteouts = true
			return nil
		}
	}
	return &Refusal{Path: path(), Why: "it has the attribute " + quote(name) + ", which belongs to an overlay file system",
		Remedy: "the command must not write such attributes"}
}

// sameAttrs compares the portable attributes of two open inodes, given the sorted names of the first.
func sameAttrs(names []string, a, b int) (bool, error) {
	others, err := portableAttrs(b)
	if err != nil || !slices.Equal(names, others) {
		return false, err
	}
	for _, name := range names {
		va, err := at.Fgetxattr(a, name)
		if err != nil {
			return false, err
		}
		vb, err := at.Fgetxattr(b, name)
		if err != nil {
			return false, err
		}
		if !bytes.Equal(va, vb) {
			return false, nil
		}
	}
	return true, nil
}

// portableAttrs lists the portable attributes of an open inode, sorted.
func portableAttrs(fd int) ([]string, error) {
	names, err := at.Fxattrs(fd)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !portable(n) })
	slices.Sort(names)
	return names, nil
}

// copyAttrs makes the named attributes of to those of from.
func copyAttrs(to, from int, names []string) (string, error) {
	for _, name := range names {
		val, err := at.Fgetxattr(from, name)
		if err != nil {
			return name, err
		}
		if err := at.Fsetxattr(to, name, val); err != nil {
			return name, err
		}
	}
	return "", nil
}
