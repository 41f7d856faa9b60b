package toolroot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// In a tool root everybody can read everything, whatever the umask of the one
// who built it: inside, other users than root run its programs.

// makeDirs makes the directory rel below dir.
func makeDirs(dir, rel string) error {
	if rel == "." {
		return nil
	}
	if err := makeDirs(dir, path.Dir(rel)); err != nil {
		return err
	}
	name := filepath.Join(dir, rel)
	if err := os.Mkdir(name, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return os.Chmod(name, 0o755)
}

// writeNew makes a file with exactly this mode.
func writeNew(name string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// writeJSON makes an index file.
func writeJSON(name string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	if err := writeNew(name, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	return nil
}
