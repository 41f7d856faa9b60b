package flock

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestLocks(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(name, os.O_RDONLY|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	a, b, c := open(), open(), open()
	if err := errors.Join(Shared(a), Shared(b)); err != nil {
		t.Fatal(err)
	}
	if err := Exclusive(c); !errors.Is(err, ErrLocked) {
		t.Errorf("exclusive beside shared: %v", err)
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	if err := Exclusive(c); err != nil {
		t.Errorf("after the others ended: %v", err)
	}
	if err := Shared(open()); !errors.Is(err, ErrLocked) {
		t.Errorf("shared beside exclusive: %v", err)
	}
	if err := Shared(a); !errors.Is(err, os.ErrClosed) && err == nil {
		t.Errorf("a closed file: %v", err)
	}
}
