package roots

import (
	"path/filepath"
	"testing"
)

// FirstStage returns the first stage of a root, with further packages, and a fresh copy of it, which is removed when the test ends.
func FirstStage(t testing.TB, arch string, include ...string) (Stage, string) {
	t.Helper()
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.First(t.Context(), arch, include...)
	if err != nil {
		t.Fatal(err)
	}
	return s, Copy(t, s)
}

// Copy returns a fresh copy of a root, which is removed when the test ends.
func Copy(t testing.TB, s Stage) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), s.Arch.Name)
	t.Cleanup(func() {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
	})
	if err := s.Unpack(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Reference returns a root after its second stage in a plain chroot.
func Reference(t testing.TB, first Stage) Stage {
	t.Helper()
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Reference(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
