package session

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

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
// user namespace with these ids can read: it is scanned there, and the owners are those inside.
func Scan(name string) (*tree.Manifest, error) {
	full, err := filepath.Abs(name)
	if err != nil {
		return nil, fail(KindRoot, name, err)
	}
	if os.Geteuid() == 0 {
		return scanHere(full)
	}
	ids, err := idMap(false)
	if err != nil {
		return nil, err
	}
	return scanInside(full, ids)
}

func scanHere(full string) (*tree.Manifest, error) {
	dir, err := os.OpenFile(full, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fail(KindRoot, full, err)
	}
	defer dir.Close()
	m, err := tree.Scan(dir, tree.Options{})
	if err != nil {
		return nil, fail(KindRoot, full, err)
	}
	return m, nil
}

// scanned is a scanner's answer.
type scanned struct {
	Manifest []byte
	Error    string
}

// scanInside has a child with the ids scan the directory.
func scanInside(full string, ids userns.Map) (*tree.Manifest, error) {
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
	if err := conn.Send(full); err != nil {
		return nil, err
	}
	var answer scanned
	if _, err := conn.Receive(&answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fail(KindRoot, full, errors.New(answer.Error))
	}
	return tree.Parse(bytes.NewReader(answer.Manifest))
}

// ScannerMain is the child of Scan; descriptor 3 is the connection.
func ScannerMain() int {
	conn := fdsock.Open(os.NewFile(3, "crossroot"))
	var full string
	if _, err := conn.Receive(&full); err != nil {
		return 1
	}
	var answer scanned
	err := userns.BecomeRoot()
	if err == nil {
		var m *tree.Manifest
		if m, err = scanHere(full); err == nil {
			var text bytes.Buffer
			err = m.Write(&text)
			answer.Manifest = text.Bytes()
		}
	}
	if err != nil {
		answer = scanned{Error: err.Error()}
	}
	if conn.Send(answer) != nil {
		return 1
	}
	return 0
}
