package session

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/tree"
)

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
