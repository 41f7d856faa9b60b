package twin

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/crossroot/crossroot/internal/debian/archive"
)

// errDamaged says that a file of the cache isn't what crossroot wrote.
var errDamaged = errors.New("damaged")

// openRegular opens a file of the cache for reading, whatever it has become: it never waits.
func openRegular(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENXIO) { // a link, a socket
		return nil, &os.PathError{Op: "open", Path: name, Err: errDamaged}
	}
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, &os.PathError{Op: "open", Path: name, Err: errDamaged}
	}
	return f, nil
}

// readFile reads a file of the cache of at most limit bytes.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = &os.PathError{Op: "read", Path: name, Err: fmt.Errorf("larger than %d bytes", limit)}
	}
	return text, err
}

// file is a line of a record.
type file struct {
	name string // relative
	size int64  // bytes; of a symbolic link, -1
	time int64  // of the last change, nanoseconds; hard links have that of the file they were made from
}

// describe makes the line for a file below dir.
func describe(dir, name string) (file, error) {
	info, err := os.Lstat(dir + "/" + name)
	if err != nil {
		return file{}, err
	}
	size := int64(-1)
	if info.Mode().IsRegular() && info.Mode()&0o400 != 0 {
		size = info.Size()
	} else if info.Mode().Type() != os.ModeSymlink {
		return file{}, &os.PathError{Op: "look at", Path: dir + "/" + name, Err: errDamaged}
	}
	return file{name, size, info.ModTime().UnixNano()}, nil
}

// writeRecord notes what an unpacked package holds.
func writeRecord(dir string, entries []archive.Entry) error {
	var files []file
	for _, e := range entries {
		f, err := describe(dir+"/files", e.Name)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	return writeFiles(filepath.Join(dir, "record"), files)
}

// writeFiles writes a line for each file, size, time and name, and a last one.
func writeFiles(name string, files []file) error {
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintf(&b, "%d %d %s\n", f.size, f.time, f.name)
	}
	b.WriteString("end\n")
	return os.WriteFile(name, []byte(b.String()), 0o600)
}

// readRecord reads a record; ok is false when there is none, or only a part of one.
func readRecord(name string) (files []file, ok bool) {
	f, err := openRegular(name)
	if err != nil {
		return nil, false
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if lines.Text() == "end" {
			return files, true
		}
		part := strings.SplitN(lines.Text(), " ", 3)
		if len(part) != 3 || part[2] == "" {
			return nil, false
		}
		size, err := strconv.ParseInt(part[0], 10, 64)
		time, err2 := strconv.ParseInt(part[1], 10, 64)
		if err != nil || err2 != nil {
			return nil, false
		}
		files = append(files, file{part[2], size, time})
	}
	return nil, false
}

// checkPackage says whether a package is unpacked and whole, by names, sizes and times.
func (c *cache) checkPackage(id string) bool {
	dir := c.path("package", id)
	return checkFiles(dir, dir+"/files")
}

// checkTree says the same of a twin.
func (c *cache) checkTree(key string) bool {
	dir := c.path("tree-" + key)
	if f, err := openRegular(dir + "/in-use"); err != nil {
		return false
	} else if f.Close() != nil {
		return false
	}
	return isKey(key) && checkFiles(dir, dir+"/root")
}

func checkFiles(dir, sub string) bool {
	files, ok := readRecord(filepath.Join(dir, "record"))
	for _, f := range files {
		if now, err := describe(sub, f.name); err != nil || now != f {
			return false
		}
	}
	return ok
}
