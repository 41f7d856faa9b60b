package wrap

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/crossroot/crossroot/internal/keeper"
	"github.com/crossroot/crossroot/internal/kernel/flock"
	"github.com/crossroot/crossroot/internal/session"
)

// notesDir holds one file for each wrap that runs, which it keeps locked: where it made mount points.
func notesDir(d session.Dirs) string { return filepath.Join(d.Cache, "wraps") }

// openNotes makes the file of this wrap.
func openNotes(d session.Dirs) (*os.File, error) {
	if err := os.MkdirAll(notesDir(d), 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(notesDir(d), "*.roots")
	if err != nil {
		return nil, err
	}
	if err := flock.Exclusive(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// cleanUp removes what killed wraps left.
func (w *wrap) cleanUp() {
	if _, err := Leftovers(w.o.Dirs, true); err != nil {
		w.warn("what a killed wrap left can't be removed: " + err.Error())
	}
}

// forget ends the notes of this wrap; whatever is still there belongs to a keeper that was killed.
func (w *wrap) forget() {
	w.notes.Close()
	w.cleanUp()
}

// Leftovers finds the roots in which wraps that were killed left a mount point. With remove they are taken away; those that
// are returned then couldn't be, and the error says why.
func Leftovers(d session.Dirs, remove bool) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(notesDir(d), "*.roots"))
	if err != nil {
		return nil, err
	}
	var roots []string
	var all error
	for _, name := range files {
		left, err := leftovers(name, remove)
		roots, all = append(roots, left...), errors.Join(all, err)
	}
	return roots, all
}

func leftovers(name string, remove bool) ([]string, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := flock.Exclusive(f); errors.Is(err, flock.ErrLocked) {
		return nil, nil // its wrap runs
	} else if err != nil {
		return nil, err
	}
	var roots []string
	var all error
	for s := bufio.NewScanner(f); s.Scan(); {
		var n keeper.Note
		if json.Unmarshal(s.Bytes(), &n) != nil || !n.Left() { // the last line of a killed one may be torn
			continue
		}
		if remove {
			err := n.Remove()
			if err == nil {
				continue
			}
			all = errors.Join(all, err)
		}
		roots = append(roots, n.Path)
	}
	if remove && all == nil {
		all = os.Remove(name)
	}
	return roots, all
}
