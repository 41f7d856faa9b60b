package twin

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/debian/status"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/twin/state"
)

// target is what matters of the root.
type target struct {
	packages   []status.Package // of its architecture, with files, by name
	merged     []string         // bin, lib and the like that are links to usr/bin, usr/lib…
	diversions []diversion
}

// diversion is a file that package by has put in the place of everybody else's, which goes to another name.
type diversion struct{ from, to, by string }

// identify notes the state of what package state reads: type, inode, size and times of each.
func identify(root *os.File) map[string]string {
	files := map[string]string{}
	for _, name := range slices.Concat(state.Files, state.TopDirs) {
		st, err := fd.Lstat(root, name)
		switch {
		case err != nil:
			files[name] = "missing"
		case slices.Contains(state.TopDirs, name): // what lies in it doesn't matter
			files[name] = fmt.Sprintf("%o %d %d", st.Mode, st.Dev, st.Ino)
		default:
			files[name] = fmt.Sprintf("%o %d %d %d %d %d", st.Mode, st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
		}
	}
	return files
}

// newTarget reads a root's database.
func newTarget(s state.State, a, host arch.Arch) (t target, err error) {
	if t.packages, err = s.Packages(a.Debian); err != nil {
		return t, err
	}
	for _, d := range state.TopDirs {
		if slices.Contains(s.Merged, d) {
			t.merged = append(t.merged, d)
		}
	}
	t.diversions = parseDiversions(s.Diversions, a.Triplet, host.Triplet)
	return t, nil
}

// parseDiversions reads groups of three lines: from, to, package. What is diverted below the target's library directory
// is diverted below the host's in the twin.
func parseDiversions(text []byte, from, to string) []diversion {
	if from != "" && to != "" {
		text = []byte(strings.ReplaceAll(string(text), "/"+from+"/", "/"+to+"/"))
	}
	lines := strings.Split(string(text), "\n")
	var list []diversion
	for ; len(lines) >= 3; lines = lines[3:] {
		list = append(list, diversion{lines[0], lines[1], lines[2]})
	}
	return list
}

// sum tells one target from another as far as the twin depends on it.
func (t target) sum() string {
	h := sha256.New()
	for _, p := range t.packages {
		fmt.Fprintf(h, "%s %s\n", p.Name, p.Version)
	}
	fmt.Fprintf(h, "%q %q\n", t.merged, t.diversions)
	return hex.EncodeToString(h.Sum(nil))
}
