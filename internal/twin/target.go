package twin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/debian/status"
	"github.com/crossroot/crossroot/internal/kernel/fd"
)

// target is what matters of the root.
type target struct {
	packages   []status.Package // of its architecture, with files, by name
	merged     []string         // bin, lib and the like that are links to usr/bin, usr/lib…
	diversions []diversion
}

// diversion is a file that package by has put in the place of everybody else's, which goes to another name.
type diversion struct{ from, to, by string }

const largestDiversions = 4 << 20 // bytes

// topDirs are those that a root may have merged into /usr.
var topDirs = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"}

// identify notes the state of what readTarget reads: type, inode, size and times of each.
func identify(root *os.File) map[string]string {
	files := map[string]string{}
	for _, name := range append([]string{"var/lib/dpkg/status", "var/lib/dpkg/updates", "var/lib/dpkg/diversions"}, topDirs...) {
		st, err := fd.Lstat(root, name)
		switch {
		case err != nil:
			files[name] = "missing"
		case slices.Contains(topDirs, name): // what lies in it doesn't matter
			files[name] = fmt.Sprintf("%o %d %d", st.Mode, st.Dev, st.Ino)
		default:
			files[name] = fmt.Sprintf("%o %d %d %d %d %d", st.Mode, st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
		}
	}
	return files
}

// readTarget reads a root's database.
func readTarget(root *os.File, a, host arch.Arch) (target, error) {
	var t target
	packages, err := readStatus(root)
	if err != nil {
		return t, err
	}
	for _, p := range packages {
		if p.HasFiles() && p.Architecture == a.Debian {
			t.packages = append(t.packages, p)
		}
	}
	slices.SortFunc(t.packages, func(a, b status.Package) int { return strings.Compare(a.Name, b.Name) })
	for _, d := range topDirs {
		if link, err := fd.Open(root, "usr/"+d, 0, 0); err == nil {
			if same(root, d, link) {
				t.merged = append(t.merged, d)
			}
			_ = link.Close()
		}
	}
	t.diversions = readDiversions(root, a.Triplet, host.Triplet)
	return t, nil
}

// same says whether a name of the root leads to the same directory as f.
func same(root *os.File, name string, f *os.File) bool {
	st, err := fd.Lstat(root, name)
	if err != nil || st.Mode&0o170000 != 0o120000 {
		return false
	}
	other, err := fd.Open(root, name, 0, 0)
	if err != nil {
		return false
	}
	defer func() { _ = other.Close() }()
	a, errA := f.Stat()
	b, errB := other.Stat()
	return errA == nil && errB == nil && os.SameFile(a, b)
}

func readStatus(root *os.File) ([]status.Package, error) {
	const dir = "var/lib/dpkg/"
	packages, err := parseFile(root, dir+"status")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotDebian
	}
	if err != nil {
		return nil, err
	}
	names, err := fd.Readdirnames(root, dir+"updates")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, n := range status.Updates(names) {
		update, err := parseFile(root, dir+"updates/"+n)
		if err != nil {
			return nil, err
		}
		packages = status.Merge(packages, update)
	}
	return packages, nil
}

func parseFile(root *os.File, name string) ([]status.Package, error) {
	text, err := fd.ReadFile(root, name, status.LargestFile)
	if err != nil {
		return nil, err
	}
	packages, err := status.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read /%s: %w", name, err)
	}
	return packages, nil
}

// readDiversions reads groups of three lines: from, to, package. What is diverted below the target's library directory is
// diverted below the host's in the twin.
func readDiversions(root *os.File, from, to string) []diversion {
	text, err := fd.ReadFile(root, "var/lib/dpkg/diversions", largestDiversions)
	if err != nil {
		return nil
	}
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
