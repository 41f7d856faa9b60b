package toolroot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/crossroot/crossroot/internal/kernel/rootfs"
)

// stamp is what the cache remembers of a source: the state of everything that
// its tool root was made from. As a file it is a line for the format and the
// key, then a line for each path: f (file or link) or d (directory), mode, size,
// time, inode, path.
type stamp struct {
	key   string
	files map[string]rootfs.Info
	dirs  map[string]rootfs.Info
}

// errStale says that a source is not what it was.
var errStale = errors.New("changed while it was read")

// stampOf the collection. The key depends on all files, not on directories, in
// which things that don't matter come and go.
func stampOf(c *collection) stamp {
	sum := sha256.New()
	fmt.Fprintln(sum, format, c.host.Name, c.loader, c.libDir)
	for _, it := range c.items {
		fmt.Fprintf(sum, "%s\x00%s\x00%s\x00%v\x00%s\n", it.dest, it.link, it.real, it.names, it.identity)
	}
	for _, name := range sortedNames(c.sources) {
		fmt.Fprintf(sum, "%s\n", line("f", name, c.sources[name]))
	}
	return stamp{hex.EncodeToString(sum.Sum(nil))[:24], c.sources, c.dirs}
}

func sortedNames(m map[string]rootfs.Info) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func line(kind, name string, i rootfs.Info) string {
	return fmt.Sprintf("%s %d %d %d %d %s", kind, i.Mode, i.Size, i.MTime, i.Inode, name)
}

func (s stamp) bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d %s\n", format, s.key)
	for _, name := range sortedNames(s.files) {
		b.WriteString(line("f", name, s.files[name]) + "\n")
	}
	for _, name := range sortedNames(s.dirs) {
		b.WriteString(line("d", name, s.dirs[name]) + "\n")
	}
	b.WriteString("end\n")
	return b.Bytes()
}

// readStamp reads a stamp: the key, and the lines to be given to unchanged.
func readStamp(name string) (key string, lines []string, err error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", nil, fmt.Errorf("read stamp: %w", err)
	}
	first, rest, _ := strings.Cut(string(b), "\n")
	version, key, _ := strings.Cut(first, " ")
	rest, whole := strings.CutSuffix(rest, "end\n")
	if version != strconv.Itoa(format) || !whole {
		return "", nil, errStale
	}
	return key, strings.Split(strings.TrimSuffix(rest, "\n"), "\n"), nil
}

// unchanged compares lines of a stamp with the source as it is now.
func unchanged(src *rootfs.Root, lines []string) bool {
	for _, l := range lines {
		was, path, ok := parseLine(l)
		if !ok {
			return false
		}
		if now, err := src.Stat(path); err != nil || now != was {
			return false
		}
	}
	return true
}

func parseLine(text string) (i rootfs.Info, path string, ok bool) {
	fields := strings.SplitN(text, " ", 6)
	if len(fields) != 6 {
		return i, "", false
	}
	mode, err1 := strconv.ParseUint(fields[1], 10, 32)
	size, err2 := strconv.ParseInt(fields[2], 10, 64)
	mtime, err3 := strconv.ParseInt(fields[3], 10, 64)
	inode, err4 := strconv.ParseUint(fields[4], 10, 64)
	return rootfs.Info{Mode: uint32(mode), Size: size, MTime: mtime, Inode: inode}, fields[5],
		err1 == nil && err2 == nil && err3 == nil && err4 == nil
}
