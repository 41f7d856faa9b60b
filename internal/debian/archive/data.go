package archive

import (
	"fmt"
	"io"
	"math"
)

// Limits of what a package may hold.
const (
	LargestPackage = 8 << 30 // bytes, without its compression
	slack          = 16 << 20
	maxRatio       = 250 // real packages are below 50
)

// Limit is how many bytes the package's files may take, as a tar: twice what it says itself, what its compressed size
// makes believable, and no more than LargestPackage.
func (a *Archive) Limit() int64 {
	limit := int64(LargestPackage)
	if size := a.data.size; size < limit/maxRatio {
		limit = size*maxRatio + slack
	}
	if declared := a.Control.InstalledSize; declared >= 0 && declared < math.MaxInt64/4 {
		limit = min(limit, 2*declared+slack)
	}
	return limit
}

// Files reads the files of a package.
type Files struct {
	tar   tarReader
	order order
	z     io.ReadCloser
}

// Files starts to read the package's files; the caller closes it. Reading fails when more than Limit comes out.
func (a *Archive) Files() (*Files, error) {
	z, err := a.open(a.data, a.method, a.Limit())
	if err != nil {
		return nil, err
	}
	f := &Files{z: z, order: order{seen: map[string]Type{}}}
	f.tar.r = z
	return f, nil
}

// Next goes to the next entry, whose content Read reads then. Only io.EOF says that the package was read to its end and
// is whole.
func (f *Files) Next() (Entry, error) {
	h, err := f.tar.next()
	if err == io.EOF {
		return Entry{}, io.EOF
	}
	if err != nil {
		return Entry{}, fmt.Errorf("read package: %w", err)
	}
	e, err := f.order.accept(h)
	if err != nil {
		return Entry{}, fmt.Errorf("read package: %w", err)
	}
	return e, nil
}

// Read reads the content of the entry that Next returned.
func (f *Files) Read(p []byte) (int, error) { return f.tar.Read(p) }

// Close frees what reading needed.
func (f *Files) Close() error { return f.z.Close() }
