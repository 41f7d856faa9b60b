package archive

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// member is a member of an ar archive.
type member struct {
	name         string
	offset, size int64 // bytes
}

const (
	arMagic    = "!<arch>\n"
	arHeader   = 60
	maxMembers = 16
)

// readAr lists an ar archive's members (deb(5); ar(5), common format without long names). Everything must be there, to
// the last byte.
func readAr(r io.ReaderAt, size int64) ([]member, error) {
	var magic [len(arMagic)]byte
	if size < int64(len(magic)) {
		return nil, damaged("not an ar archive")
	}
	if _, err := r.ReadAt(magic[:], 0); err != nil {
		return nil, err
	}
	if string(magic[:]) != arMagic {
		return nil, damaged("not an ar archive")
	}
	var members []member
	for at := int64(len(arMagic)); at < size; {
		if len(members) == maxMembers {
			return nil, damaged("more than %d members", maxMembers)
		}
		var header [arHeader]byte
		if size-at < arHeader {
			return nil, damaged("cut in a member's header")
		}
		if _, err := r.ReadAt(header[:], at); err != nil {
			return nil, err
		}
		m, err := parseMember(header[:])
		if err != nil {
			return nil, err
		}
		m.offset = at + arHeader
		if m.size > size-m.offset {
			return nil, damaged("cut in member %s", m.name)
		}
		at = m.offset + m.size
		if m.size%2 == 1 {
			var pad [1]byte
			if at == size {
				return nil, damaged("cut after member %s", m.name)
			}
			if _, err := r.ReadAt(pad[:], at); err != nil {
				return nil, err
			}
			if pad[0] != '\n' {
				return nil, damaged("no padding after member %s", m.name)
			}
			at++
		}
		members = append(members, m)
	}
	return members, nil
}

// parseMember reads a header: name 16, time 12, owner 6, group 6, mode 8, size 10, end 2.
func parseMember(header []byte) (member, error) {
	if string(header[58:]) != "`\n" {
		return member{}, damaged("invalid member header")
	}
	name := string(bytes.TrimRight(header[:16], " "))
	name = strings.TrimSuffix(name, "/")
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == '#' }) {
		return member{}, damaged("invalid member name %q", header[:16])
	}
	size, err := strconv.ParseUint(string(bytes.TrimRight(header[48:58], " ")), 10, 62)
	if err != nil {
		return member{}, damaged("invalid size %q of member %s", header[48:58], name)
	}
	return member{name: name, size: int64(size)}, nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}
