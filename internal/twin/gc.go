package twin

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Removed is what GC deleted.
type Removed struct {
	Twins    int   `json:"twins"`
	Packages int   `json:"packages"`
	Bytes    int64 `json:"bytes"` // of the packages' files
}

// GC deletes the twins that are not the newest of a root that still exists and are not in use, unpacked packages that no
// such root has, and what killed builders left.
func GC(ctx context.Context, cacheDir string) (Removed, error) {
	var r Removed
	c, err := openCache(cacheDir)
	if err != nil {
		return r, err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return r, err
	}
	defer unlock()
	c.sweep()
	keys, packages := c.needed()
	trees, _ := filepath.Glob(c.path("tree-*")) // the pattern is right
	for _, name := range trees {
		key := strings.TrimPrefix(filepath.Base(name), "tree-")
		if keys[key] {
			continue
		}
		if deleted, err := c.deleteTree(name); err != nil {
			return r, err
		} else if deleted {
			r.Twins++
		}
	}
	dirs, err := os.ReadDir(c.path("package"))
	if err != nil {
		return r, fmt.Errorf("list packages: %w", err)
	}
	for _, d := range dirs {
		if packages[d.Name()] {
			continue
		}
		name := c.path("package", d.Name())
		files, _ := readRecord(filepath.Join(name, "record"))
		if err := os.RemoveAll(name); err != nil {
			return r, fmt.Errorf("delete package: %w", err)
		}
		r.Packages++
		for _, f := range files {
			r.Bytes += max(f.size, 0)
		}
	}
	return r, ctx.Err()
}

// needed are the twins and packages of the roots that exist. Notes on others are deleted.
func (c *cache) needed() (keys, packages map[string]bool) {
	keys, packages = map[string]bool{}, map[string]bool{}
	notes, _ := filepath.Glob(c.path("root-*")) // the pattern is right
	for _, name := range notes {
		var n note
		text, err := readFile(name, largestNote)
		if err == nil {
			err = json.Unmarshal(text, &n)
		}
		if err == nil && n.Format == format {
			_, err = os.Stat(n.Root)
		}
		if err != nil || n.Format != format {
			_ = os.Remove(name) // made again when it is needed
			continue
		}
		keys[n.Key] = true
		for name, choice := range n.Choices {
			packages[choice.id(name)] = true
		}
	}
	return keys, packages
}

// deleteTree deletes a twin unless somebody uses it. It is renamed while it is claimed: whoever opens it afterwards finds
// nothing.
func (c *cache) deleteTree(name string) (bool, error) {
	release, err := claim(name)
	if err != nil {
		return false, nil
	}
	defer release()
	tmp := c.path("tmp-gc-" + filepath.Base(name))
	if err := os.Rename(name, tmp); err != nil {
		return false, fmt.Errorf("delete twin: %w", err)
	}
	return true, os.RemoveAll(tmp)
}
