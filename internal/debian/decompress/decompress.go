// Package decompress reads what Debian's archives and indexes are compressed with: gzip, xz, zstd, or nothing.
//
// It promises bounded memory (windows of at most 64 MiB, which xz -9 and zstd -19 keep to), that data cut anywhere is an
// error, and that whatever checksum the format has was compared before the end is reported. How much may come out is the
// caller's to limit. It must not know what the data is.
package decompress

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// Method is a compression.
type Method string

// The methods, and those that are only recognised.
const (
	None  Method = "none"
	Gzip  Method = "gzip"
	XZ    Method = "xz"
	Zstd  Method = "zstd"
	bzip2 Method = "bzip2"
	lzma  Method = "lzma"
)

const window = 64 << 20 // bytes, the largest that is accepted

// ErrMethod says that it is a compression that isn't read here.
var ErrMethod = errors.New("compression not supported")

// ErrCorrupt is what errors wrap when the data is not what the method's format asks for.
var ErrCorrupt = errors.New("compressed data is damaged")

// HeadSize is how much Detect wants to see, in bytes.
const HeadSize = 13

// Detect tells the method by the first bytes: None where no magic number is known.
func Detect(head []byte) Method {
	for _, m := range []struct {
		method Method
		magic  string
	}{{Gzip, "\x1f\x8b"}, {XZ, "\xfd7zXZ\x00"}, {Zstd, "\x28\xb5\x2f\xfd"}, {bzip2, "BZh"}, {lzma, "\x5d\x00\x00"}} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.method
		}
	}
	return None
}

// Extension is the method that a file's name promises by its end: .gz, .xz, .zst; None for any other.
func Extension(name string) Method {
	for _, e := range []struct {
		method Method
		ending string
	}{{Gzip, ".gz"}, {XZ, ".xz"}, {Zstd, ".zst"}, {bzip2, ".bz2"}, {lzma, ".lzma"}} {
		if len(name) > len(e.ending) && name[len(name)-len(e.ending):] == e.ending {
			return e.method
		}
	}
	return None
}

// NewReader reads r, which ends where the compressed data does. Errors of Read wrap ErrCorrupt, but for those of r.
// Close it to free its memory; it doesn't close r.
func NewReader(r io.Reader, m Method) (io.ReadCloser, error) {
	under := &source{r: bufio.NewReaderSize(r, 64<<10)}
	if m == None {
		return io.NopCloser(r), nil
	}
	if _, err := under.r.Peek(1); err != nil { // for zstd, nothing at all is fine
		return nil, under.explain(m, under.note(err))
	}
	var z *reader
	switch m {
	case Gzip:
		g, err := gzip.NewReader(under)
		if err != nil {
			return nil, under.explain(m, err)
		}
		g.Multistream(false)
		z = &reader{r: g, atEnd: under.atEnd}
	case XZ:
		x, err := xz.NewReader(under, window)
		if err != nil {
			return nil, under.explain(m, err)
		}
		z = &reader{r: x}
	case Zstd:
		d, err := zstd.NewReader(under, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, under.explain(m, err)
		}
		z = &reader{r: d, close: d.Close}
	default:
		return nil, fmt.Errorf("%w: %s", ErrMethod, m)
	}
	z.under, z.method = under, m
	return z, nil
}

// source remembers an error of the reader below, to tell it from damaged data.
type source struct {
	r   *bufio.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n > 0 {
		return n, nil // the end comes alone, as package xz needs it
	}
	return 0, s.note(err)
}

// ReadByte lets gzip stop exactly where its data does.
func (s *source) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	return b, s.note(err)
}

func (s *source) note(err error) error {
	if err != nil && err != io.EOF {
		s.err = err
	}
	return err
}

var errTrailing = errors.New("something follows its end")

func (s *source) atEnd() error {
	if _, err := s.r.Peek(1); err == nil {
		return errTrailing
	} else if err != io.EOF {
		return s.note(err)
	}
	return io.EOF
}

func (s *source) explain(m Method, err error) error {
	switch {
	case s.err != nil:
		return s.err
	case errors.Is(err, xz.ErrMemlimit) || errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fmt.Errorf("%w: %s needs more than %d MiB of memory", ErrMethod, m, window>>20)
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, m, err)
}

type reader struct {
	r      io.Reader
	under  *source
	method Method
	atEnd  func() error // looks at what follows; nil: the method does itself
	close  func()
	err    error
}

func (z *reader) Read(p []byte) (int, error) {
	if z.err != nil {
		return 0, z.err
	}
	n, err := z.r.Read(p)
	if err == io.EOF && z.atEnd != nil {
		err = z.atEnd()
	}
	if err != nil {
		if err != io.EOF {
			err = z.under.explain(z.method, err)
		}
		z.err = err
		if n > 0 {
			err = nil
		}
	}
	return n, err
}

func (z *reader) Close() error {
	if z.close != nil {
		z.close()
	}
	return nil
}
