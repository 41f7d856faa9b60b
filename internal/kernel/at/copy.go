package at

import (
	"bytes"
	"context"

	"golang.org/x/sys/unix"
)

// chunk is the most that is copied between two looks at the context.
const chunk = 4 << 20

// Copier copies file contents. Its zero value works; it is for one goroutine.
type Copier struct {
	buf      []byte
	noKernel bool // copy_file_range doesn't work between these two file systems
}

// Copy makes out, a new empty file, a copy of in (size bytes, as fstat says), with its holes. Both offsets move.
func (c *Copier) Copy(ctx context.Context, out, in int, st Stat) error {
	if st.Size == 0 {
		return nil
	}
	if st.Blocks*512 >= st.Size {
		return c.span(ctx, out, in, 0, st.Size)
	}
	return c.sparse(ctx, out, in, st.Size)
}

// sparse copies the parts that hold data and leaves the rest as holes.
func (c *Copier) sparse(ctx context.Context, out, in int, size int64) error {
	for off := int64(0); off < size; {
		data, err := unix.Seek(in, off, unix.SEEK_DATA)
		if err == unix.ENXIO || err == nil && data >= size {
			break // nothing but a hole to the end
		}
		if err == unix.EINVAL {
			return c.span(ctx, out, in, off, size)
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(in, data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		end = min(end, size)
		if err := c.span(ctx, out, in, data, end); err != nil {
			return err
		}
		off = end
	}
	return retry(func() error { return unix.Ftruncate(out, size) })
}

// span copies the bytes from off to end. A file that ends earlier is an error: nobody should be writing to it.
func (c *Copier) span(ctx context.Context, out, in int, off, end int64) error {
	if end-off < 64<<10 {
		return c.small(out, in, off, end)
	}
	for off < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := c.once(out, in, off, int(min(end-off, chunk)))
		if err != nil {
			return err
		}
		if n == 0 {
			return unix.EIO
		}
		off += int64(n)
	}
	return nil
}

func (c *Copier) once(out, in int, off int64, n int) (int, error) {
	if !c.noKernel {
		from, to := off, off
		done, err := retryFD(func() (int, error) { return unix.CopyFileRange(in, &from, out, &to, n, 0) })
		switch err {
		case nil:
			if done > 0 {
				return done, nil
			}
		case unix.EXDEV, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM:
			c.noKernel = true
		default:
			return 0, err
		}
	}
	return c.through(out, in, off, n)
}

// through copies by way of a buffer that stays in the CPU's cache.
func (c *Copier) through(out, in int, off int64, n int) (int, error) {
	if c.buf == nil {
		c.buf = make([]byte, 256<<10)
	}
	buf := c.buf[:min(n, len(c.buf))]
	got, err := retryFD(func() (int, error) { return unix.Pread(in, buf, off) })
	if err != nil {
		return 0, err
	}
	for done := 0; done < got; {
		w, err := retryFD(func() (int, error) { return unix.Pwrite(out, buf[done:got], off+int64(done)) })
		if err != nil {
			return 0, err
		}
		done += w
	}
	return got, nil
}

func (c *Copier) small(out, in int, off, end int64) error {
	for off < end {
		n, err := c.through(out, in, off, int(end-off))
		if err != nil {
			return err
		}
		if n == 0 {
			return unix.EIO
		}
		off += int64(n)
	}
	return nil
}

// SameContent compares the first size bytes of the regular files called name in two directories.
func SameContent(ctx context.Context, a, b int, name string, size int64) (bool, error) {
	fa, err := OpenFile(a, name)
	if err != nil {
		return false, err
	}
	defer unix.Close(fa)
	fb, err := OpenFile(b, name)
	if err != nil {
		return false, err
	}
	defer unix.Close(fb)
	ba, bb := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		na, err := retryFD(func() (int, error) { return unix.Pread(fa, ba, off) })
		if err != nil {
			return false, err
		}
		nb, err := retryFD(func() (int, error) { return unix.Pread(fb, bb, off) })
		if err != nil {
			return false, err
		}
		if na == 0 || !bytes.Equal(ba[:na], bb[:nb]) {
			return false, nil
		}
		off = nextData(fa, fb, off+int64(na), size)
	}
	return true, nil
}

// nextData is where the first of two files goes on after a hole that both have at off: a file of holes may be as long as
// it likes.
func nextData(a, b int, off, size int64) int64 {
	next := size
	for _, fd := range []int{a, b} {
		data, err := unix.Seek(fd, off, unix.SEEK_DATA)
		if err == unix.ENXIO {
			continue
		}
		if err != nil {
			return off
		}
		next = min(next, data)
	}
	return max(off, next)
}
