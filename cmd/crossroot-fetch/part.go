package main

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"os"
	"syscall"

	"github.com/crossroot/crossroot/internal/fetch"
)

// part is the file being written, with the sum of what is in it.
type part struct {
	f     *os.File
	size  int64
	limit int64
	sum   hash.Hash
	mixed bool // made of more than one answer
}

// openPart opens a job's file. With Resume it keeps what is there already.
func openPart(j fetch.Job, limit int64) (*part, error) {
	f, err := os.OpenFile(j.Path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o644)
	if err != nil {
		return nil, final(fetch.Local, "%v", err)
	}
	p := &part{f: f, limit: limit, sum: sha256.New()}
	if err := p.begin(j); err != nil {
		f.Close()
		return nil, final(fetch.Local, "%v", err)
	}
	return p, nil
}

func (p *part) begin(j fetch.Job) error {
	st, err := p.f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return &os.PathError{Op: "write", Path: p.f.Name(), Err: syscall.EINVAL}
	}
	if !j.Resume || j.SHA256 == "" || st.Size() > p.limit {
		return p.restart()
	}
	p.size, err = io.Copy(p.sum, p.f)
	p.mixed = p.size > 0
	return err
}

// restart forgets all there is.
func (p *part) restart() error {
	p.size, p.mixed = 0, false
	p.sum.Reset()
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return p.f.Truncate(0)
}

// Write adds to the file, up to its limit.
func (p *part) Write(b []byte) (int, error) {
	if int64(len(b)) > p.limit-p.size {
		return 0, final(fetch.WrongSize, "larger than %d bytes", p.limit)
	}
	n, err := p.f.Write(b)
	p.size += int64(n)
	p.sum.Write(b[:n])
	if err != nil {
		return n, final(fetch.Local, "%v", err)
	}
	return n, nil
}

func (p *part) digest() string { return hex.EncodeToString(p.sum.Sum(nil)) }

func (p *part) close() { p.f.Close() }
