package relocate

import (
	"debug/elf"
	"path"
	"strings"

	"github.com/crossroot/crossroot/internal/elfimage"
)

// runPaths rewrites the directories of DT_RPATH and DT_RUNPATH: those of the
// system to their hidden twins, all other absolute ones to a hidden path that
// does not exist, since there the target's libraries are. Paths of $ORIGIN
// stay: the tool root has the same shape as /usr.
func (e *editor) runPaths(image *elfimage.Image, rules Rules) error {
	entries, err := image.DynamicEntries()
	if err != nil {
		return err
	}
	var table uint64
	for _, d := range entries {
		if d.Tag == elf.DT_STRTAB {
			table = d.Value
		}
	}
	for _, d := range entries {
		if d.Tag != elf.DT_RPATH && d.Tag != elf.DT_RUNPATH {
			continue
		}
		list := image.RunPath()
		if d.Tag == elf.DT_RPATH {
			list = image.RPath()
		}
		off, ok := image.FileOffset(table + d.Value)
		if !ok || table+d.Value < table || off > uint64(len(e.b)) {
			continue
		}
		at := int(off)
		for _, dir := range strings.Split(list, ":") {
			e.put(at, dir, hiddenRunPath(dir))
			at += len(dir) + 1
		}
	}
	return nil
}

// hiddenRunPath gives a text of the same length.
func hiddenRunPath(dir string) string {
	const nowhere = "/.cr/"
	if !strings.HasPrefix(dir, "/") || strings.HasPrefix(dir, nowhere) {
		return dir
	}
	if hidden, ok := HiddenDir(dir); ok && path.Clean(dir) == strings.TrimSuffix(dir, "/") {
		return hidden
	}
	if len(dir) <= len(nowhere) {
		return "/" + strings.Repeat("\x01", len(dir)-1) // no relative path, which is searched too
	}
	return nowhere + strings.Repeat("-", len(dir)-len(nowhere))
}
