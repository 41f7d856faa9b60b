package session

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/audit"
	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/tree"
)

// Hold keeps runs that commit away from ROOT until release, so that several runs begin with the same.
func (r *Root) Hold(ctx context.Context, o Options) (release func(), err error) {
	l, err := r.take(ctx, o.Dirs.State, true, o.Wait, "")
	if err != nil {
		return nil, err
	}
	return l.release, nil
}

// Policy reads the policy that a run with these options has: the user's rows on top of the built-in ones.
func Policy(o Options) (*policy.Policy, error) {
	r := &run{o: o}
	p, err := policy.Default()
	if err != nil || o.Policy == "" {
		return p, err
	}
	if err := r.readPolicy(); err != nil {
		return nil, err
	}
	user, err := policy.Parse(r.setup.PolicyName, r.setup.Policy)
	if err != nil {
		return nil, fail(KindPolicy, o.Policy, err)
	}
	return p.With(user), nil
}

// EmulatorFile is the emulator that a run with these options has for ROOT's own architecture; "" if there is none.
func (r *Root) EmulatorFile(o Options) string {
	if o.Qemu != "" {
		return o.Qemu
	}
	static, other := Emulator(r.Arch)
	return cmp.Or(static, other)
}

// Scan describes the tree below a directory. A user's root holds files of subordinate ids, which only a process in a
// user namespace with these ids can read: it is scanned there, and the owners are those inside. With tolerant, what
// can't be read is recorded as such.
func Scan(name string, tolerant bool) (*tree.Manifest, error) {
	answer, err := look(name, tolerant, false)
	if err != nil {
		return nil, err
	}
	return tree.Parse(bytes.NewReader(answer.Manifest))
}

// Audit compares a root with what its packages installed, with the same ids as Scan.
func Audit(name string) (*audit.Result, error) {
	answer, err := look(name, true, true)
	if err != nil {
		return nil, err
	}
	return &answer.Audit, nil
}

// question is what a scanner is asked.
type question struct {
	Name            string
	Tolerant, Audit bool
}

// scanned is a scanner's answer.
type scanned struct {
	Manifest   []byte
	Audit      audit.Result
	Error      string
	NoDatabase bool
}

func look(name string, tolerant, audits bool) (*scanned, error) {
	full, err := filepath.Abs(name)
	if err != nil {
		return nil, fail(KindRoot, name, err)
	}
	q := question{full, tolerant, audits}
	if os.Geteuid() == 0 {
		return q.here()
	}
	ids, err := idMap(false)
	if err != nil {
		return nil, err
	}
	return q.inside(ids)
}

func (q question) here() (*scanned, error) {
	dir, err := os.OpenFile(q.Name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fail(KindRoot, q.Name, err)
	}
	defer dir.Close()
	var answer scanned
	if q.Audit {
		var r *audit.Result
		if r, err = audit.Root(dir); err == nil {
			answer.Audit = *r
		}
	} else {
		var m *tree.Manifest
		if m, err = tree.Scan(dir, tree.Options{Tolerant: q.Tolerant}); err == nil {
			var text bytes.Buffer
			err = m.Write(&text)
			answer.Manifest = text.Bytes()
		}
	}
	if err != nil {
		return nil, fail(KindRoot, q.Name, err)
	}
	return &answer, nil
}

// inside has a child with the ids look at the directory.
func (q question) inside(ids userns.Map) (*scanned, error) {
	conn, theirs, err := fdsock.Pair()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		theirs.Close()
		return nil, err
	}
	defer null.Close()
	child, err := userns.Spawn(protocol.ScannerName, []string{}, unix.CLONE_NEWUSER, null, null, os.Stderr, theirs)
	theirs.Close()
	if err != nil {
		return nil, fail(KindUserns, "", err)
	}
	defer func() {
		_ = child.Kill()
		_, _ = child.Wait()
	}()
	if err := ids.Write(child.Pid); err != nil {
		return nil, fail(KindSubIDs, "", err)
	}
	if err := conn.Send(q); err != nil {
		return nil, err
	}
	var answer scanned
	if _, err := conn.Receive(&answer); err != nil {
		return nil, err
	}
	switch {
	case answer.NoDatabase:
		return nil, fail(KindRoot, q.Name, audit.ErrNoDatabase)
	case answer.Error != "":
		return nil, fail(KindRoot, q.Name, errors.New(answer.Error))
	}
	return &answer, nil
}

// ScannerMain is the child of Scan; descriptor 3 is the connection.
func ScannerMain() int {
	conn := fdsock.Open(os.NewFile(3, "crossroot"))
	var q question
	if _, err := conn.Receive(&q); err != nil {
		return 1
	}
	answer := &scanned{}
	err := userns.BecomeRoot()
	if err == nil {
		answer, err = q.here()
	}
	if err != nil {
		answer = &scanned{Error: err.Error(), NoDatabase: errors.Is(err, audit.ErrNoDatabase)}
	}
	if conn.Send(answer) != nil {
		return 1
	}
	return 0
}
