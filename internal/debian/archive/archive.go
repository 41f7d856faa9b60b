// Package archive reads Debian binary packages (deb(5)).
//
// It promises that a package is read to its last byte or refused: names that stay inside, no member twice, no device, no
// path through something that is no directory, hard links to earlier files only; in bounded memory, and with a limit on
// what comes out. It must not know where the files go: that is package unpack.
package archive

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/decompress"
)

// ErrDamaged is what errors wrap when a file is no proper package: cut, broken, or made to deceive.
var ErrDamaged = errors.New("damaged package")

// ErrTooLarge says that a package holds more than it may.
var ErrTooLarge = errors.New("package too large")

// Archive is an opened package.
type Archive struct {
	Control Control
	r       io.ReaderAt
	data    member
	method  decompress.Method
}

// Open reads a package's structure and its control archive. r must have size bytes and stay open.
func Open(r io.ReaderAt, size int64) (*Archive, error) {
	members, err := readAr(r, size)
	if err != nil {
		return nil, err
	}
	a := &Archive{r: r}
	control, data, err := a.findMembers(members)
	if err != nil {
		return nil, err
	}
	method, err := a.detect(control)
	if err != nil {
		return nil, err
	}
	if a.Control, err = a.readControl(control, method); err != nil {
		return nil, err
	}
	a.data = data
	a.method, err = a.detect(data)
	return a, err
}

// findMembers checks which members there are: debian-binary, control.tar, data.tar; some with an underscore in front may
// lie between, others follow.
func (a *Archive) findMembers(members []member) (control, data member, err error) {
	seen := map[string]bool{}
	next := 0
	for _, m := range members {
		stem := m.name
		if strings.HasPrefix(stem, "control.tar") || strings.HasPrefix(stem, "data.tar") {
			stem, _, _ = strings.Cut(stem, ".")
		}
		if seen[stem] {
			return control, data, damaged("member %s twice", m.name)
		}
		seen[stem] = true
		switch {
		case next == 0 && stem == "debian-binary":
			if err := a.checkVersion(m); err != nil {
				return control, data, err
			}
		case next == 1 && stem == "control":
			control = m
		case next == 2 && stem == "data":
			data = m
		case stem == "control" || stem == "data" || stem == "debian-binary" || next == 0:
			return control, data, damaged("member %s is out of place", m.name)
		case next < 3 && !strings.HasPrefix(stem, "_"):
			return control, data, damaged("unknown member %s", m.name)
		default:
			continue
		}
		next++
	}
	if next < 3 {
		return control, data, damaged("no %s", []string{"debian-binary", "control.tar", "data.tar"}[next])
	}
	return control, data, nil
}

// checkVersion reads debian-binary: the format's version, 2.0; a higher minor number is compatible.
func (a *Archive) checkVersion(m member) error {
	var text [16]byte
	if m.size > int64(len(text)) {
		return damaged("debian-binary of %d bytes", m.size)
	}
	b := text[:m.size]
	if _, err := a.r.ReadAt(b, m.offset); err != nil && err != io.EOF {
		return err
	}
	minor, ok := strings.CutPrefix(string(b), "2.")
	minor, line := strings.CutSuffix(minor, "\n")
	if !ok || !line || minor == "" || strings.Trim(minor, "0123456789") != "" {
		return damaged("format version %q, not 2.0", b)
	}
	return nil
}

// detect tells a member's compression by its first bytes, which its name must agree with.
func (a *Archive) detect(m member) (decompress.Method, error) {
	head := make([]byte, min(decompress.HeadSize, m.size))
	if _, err := a.r.ReadAt(head, m.offset); err != nil && err != io.EOF {
		return "", err
	}
	is, named := decompress.Detect(head), decompress.Extension(m.name)
	if named == decompress.None && !strings.HasSuffix(m.name, ".tar") {
		return "", fmt.Errorf("%w: member %s", decompress.ErrMethod, m.name)
	}
	if is != named {
		return "", damaged("member %s, by its content %s", m.name, is)
	}
	return is, nil
}

// open decompresses a member, up to limit bytes of it.
func (a *Archive) open(m member, method decompress.Method, limit int64) (io.ReadCloser, error) {
	z, err := decompress.NewReader(io.NewSectionReader(a.r, m.offset, m.size), method)
	if err != nil {
		return nil, fmt.Errorf("member %s: %w", m.name, asDamage(err))
	}
	return &limited{z: z, left: limit, name: m.name}, nil
}

func asDamage(err error) error {
	if errors.Is(err, decompress.ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// limited ends a member that gives more than it may.
type limited struct {
	z    io.ReadCloser
	left int64
	name string
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		var one [1]byte
		n, err := io.ReadFull(l.z, one[:])
		if n == 0 && err == io.EOF {
			return 0, io.EOF
		}
		if n == 0 {
			return 0, fmt.Errorf("member %s: %w", l.name, asDamage(err))
		}
		return 0, fmt.Errorf("%w: member %s", ErrTooLarge, l.name)
	}
	n, err := l.z.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("member %s: %w", l.name, asDamage(err))
	}
	return n, err
}

func (l *limited) Close() error { return l.z.Close() }
