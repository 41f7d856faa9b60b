package archive

import (
	"bytes"
	"io"
	"math"
	"strconv"
)

// header is a tar header as it stands in the archive, long names resolved.
type header struct {
	name, link     string
	kind           byte
	mode, uid, gid int64
	size, mtime    int64
}

const (
	block   = 512
	maxPath = 4096 // bytes, as in Linux with the NUL
)

// tarReader reads the tar that dpkg knows: v7, ustar and GNU headers, with GNU's long names; not PAX, not sparse files
// (dpkg, lib/dpkg/tarfn.c, tar(5)).
type tarReader struct {
	r    io.Reader
	left int64 // of the file at hand, bytes
	pad  int64 // behind it
	buf  [block]byte
}

// next goes to the next header; io.EOF after the two zero blocks that must end an archive and the zeros behind them.
func (t *tarReader) next() (header, error) {
	var name, link string
	for {
		if err := t.skip(); err != nil {
			return header{}, err
		}
		if err := t.block(); err != nil {
			return header{}, err
		}
		if t.buf == [block]byte{} {
			if name != "" || link != "" {
				return header{}, damaged("a long name of nothing")
			}
			return header{}, t.end()
		}
		h, err := t.parse()
		if err != nil {
			return header{}, err
		}
		switch h.kind {
		case 'L', 'K':
			into := map[byte]*string{'L': &name, 'K': &link}[h.kind]
			if *into != "" {
				return header{}, damaged("two long names for one member")
			}
			if *into, err = t.longName(h.size); err != nil {
				return header{}, err
			}
			continue
		}
		if name != "" {
			h.name = name
		}
		if link != "" {
			h.link = link
		}
		return h, nil
	}
}

// Read reads the file at hand.
func (t *tarReader) Read(p []byte) (int, error) {
	if t.left == 0 {
		return 0, io.EOF
	}
	n, err := t.r.Read(p[:min(int64(len(p)), t.left)])
	t.left -= int64(n)
	if err == io.EOF {
		err = cut()
		if n > 0 {
			err = nil
		}
	}
	return n, err
}

func cut() error { return damaged("cut in the middle: %v", io.ErrUnexpectedEOF) }

// skip leaves the file at hand behind.
func (t *tarReader) skip() error {
	n, err := io.CopyN(io.Discard, t.r, t.left+t.pad)
	if err == io.EOF || err == nil && n < t.left+t.pad {
		return cut()
	}
	t.left, t.pad = 0, 0
	return err
}

func (t *tarReader) block() error {
	_, err := io.ReadFull(t.r, t.buf[:])
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return cut()
	}
	return err
}

// end checks that a second zero block follows, and nothing but zeros.
func (t *tarReader) end() error {
	if err := t.block(); err != nil {
		return err
	}
	for {
		if t.buf != [block]byte{} {
			return damaged("something follows the end of the archive")
		}
		switch _, err := io.ReadFull(t.r, t.buf[:]); err {
		case nil:
		case io.ErrUnexpectedEOF:
			return damaged("the archive doesn't end with a whole block")
		default:
			return err
		}
	}
}

// longName reads a member that is the name of the next.
func (t *tarReader) longName(size int64) (string, error) {
	if size < 2 || size > maxPath {
		return "", damaged("a name of %d bytes", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(t, b); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = cut()
		}
		return "", err
	}
	b = bytes.TrimRight(b, "\x00")
	if len(b) == 0 || bytes.IndexByte(b, 0) >= 0 {
		return "", damaged("a NUL byte in a name")
	}
	return string(b), nil
}

// parse reads the header in buf and prepares for its content.
func (t *tarReader) parse() (header, error) {
	b := &t.buf
	sum, err := number(b[148:156])
	if err != nil {
		return header{}, err
	}
	var want int64
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		want += int64(c)
	}
	if sum != want {
		return header{}, damaged("a header with a wrong checksum")
	}
	h := header{name: text(b[:100]), link: text(b[157:257]), kind: b[156]}
	if string(b[257:263]) == "ustar\x00" {
		if prefix := text(b[345:500]); prefix != "" {
			h.name = prefix + "/" + h.name
		}
	}
	for _, f := range []struct {
		to   *int64
		from []byte
	}{{&h.mode, b[100:108]}, {&h.uid, b[108:116]}, {&h.gid, b[116:124]}, {&h.size, b[124:136]}, {&h.mtime, b[136:148]}} {
		if *f.to, err = number(f.from); err != nil {
			return header{}, damaged("%.60q: %v", h.name, err)
		}
	}
	if h.size > math.MaxInt64-block {
		return header{}, damaged("%.60q: a size of %d bytes", h.name, h.size)
	}
	t.left, t.pad = h.size, -h.size&(block-1)
	return h, nil
}

// text is a field up to its first NUL.
func text(field []byte) string {
	if i := bytes.IndexByte(field, 0); i >= 0 {
		field = field[:i]
	}
	return string(field)
}

// number reads a field: octal digits between blanks, or GNU's base 256 where the first bit is set. Nothing is 0.
func number(field []byte) (int64, error) {
	if field[0]&0x80 != 0 {
		return base256(field)
	}
	s := bytes.Trim(field, " \x00")
	if len(s) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(s), 8, 63)
	if err != nil {
		return 0, damaged("%q is no number", field)
	}
	return int64(n), nil
}

func base256(field []byte) (int64, error) {
	if field[0] != 0x80 {
		return 0, damaged("a number below zero, or too large")
	}
	var n uint64
	for _, c := range field[1:] {
		if n >= 1<<55 {
			return 0, damaged("a number too large")
		}
		n = n<<8 | uint64(c)
	}
	return int64(n), nil
}
