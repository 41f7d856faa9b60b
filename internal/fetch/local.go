package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"

	"github.com/crossroot/crossroot/internal/kernel/fd"
)

// local copies a file of this machine, or of Root.
func (c *Client) local(ctx context.Context, j Job, u *url.URL) Result {
	fail := func(cause Cause, err error) Result {
		return Result{Err: &Error{Redacted(j.URL), cause, err.Error()}}
	}
	if u.Host != "" && u.Host != "localhost" || u.Path == "" || u.Path[0] != '/' {
		return fail(BadJob, errors.New("a file: URL has no host and an absolute path"))
	}
	root := c.Root
	if root == nil {
		var err error
		if root, err = os.Open("/"); err != nil {
			return fail(Local, err)
		}
		defer root.Close()
	}
	in, err := fd.OpenRegular(root, u.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(NotFound, err)
	} else if err != nil {
		return fail(Local, err)
	}
	defer in.Close()
	out, err := os.OpenFile(j.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fail(Local, err)
	}
	defer out.Close()
	limit := j.Max
	if j.Size >= 0 {
		limit = j.Size
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(reader{ctx, in}, limit+1))
	if err := ctx.Err(); err != nil {
		return Result{Err: err}
	}
	if err == nil {
		err = out.Close()
	}
	got := hex.EncodeToString(sum.Sum(nil))
	switch {
	case err != nil:
		return fail(Local, err)
	case n > limit || j.Size >= 0 && n != j.Size:
		return fail(WrongSize, fmt.Errorf("the file doesn't have the %d bytes it should", limit))
	case j.SHA256 != "" && got != j.SHA256:
		return fail(WrongHash, fmt.Errorf("its SHA256 is %s, not %s", got, j.SHA256))
	}
	return Result{Bytes: n, SHA256: got}
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	in  io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}
