package transaction

import (
	"fmt"
	"os"
)

// Refusal says that a path, in the upper or in ROOT, is something that a commit must not touch or trust.
type Refusal struct {
	Path   string // absolute in the root, raw bytes
	Why    string
	Remedy string // what the user can do; may be empty
}

// Error quotes the path.
func (r *Refusal) Error() string {
	s := fmt.Sprintf("commit %q: %s", r.Path, r.Why)
	if r.Remedy != "" {
		s += " (" + r.Remedy + ")"
	}
	return s
}

// Conflict says that somebody else changed a path of ROOT while the command ran, or before the commit was done.
type Conflict struct {
	Path string // absolute in the root, raw bytes
	Why  string
}

// Error quotes the path.
func (c *Conflict) Error() string {
	return fmt.Sprintf("commit %q: %s; nothing was overwritten (run again when nobody else changes the root)", c.Path, c.Why)
}

// failed is an error of one system call on one path, in os.PathError's form.
func failed(op, path string, err error) error {
	return &os.PathError{Op: op, Path: fmt.Sprintf("%q", path), Err: err}
}
