package transaction

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crossroot/crossroot/internal/kernel/at"
	"github.com/google/go-cmp/cmp"
)

// lab is a target root and the directories of overlays over it.
type lab struct {
	t                  testing.TB
	root, spool        string
	upper, work, merge string
	o                  Options
	view               map[string]string // what the overlay showed just before it was unmounted
}

// newLab makes an empty root; on is "disk" or "tmpfs" for root, spool for the upper.
func newLab(t testing.TB, on, spool string) *lab {
	parent, err := os.MkdirTemp("", "transaction")
	must(t, err)
	t.Cleanup(func() { removeAll(t, parent) })
	base := filepath.Join(parent, "lab")
	must(t, os.Mkdir(base, 0o755))
	l := &lab{t: t, root: filepath.Join(base, "root"), spool: filepath.Join(base, "spool")}
	l.upper, l.work, l.merge = filepath.Join(l.spool, "u"), filepath.Join(l.spool, "w"), filepath.Join(base, "m")
	if on == "tmpfs" {
		must(t, os.Mkdir(l.root, 0o755))
		l.mount("tmpfs", l.root, 0, "mode=755")
	}
	if spool == "tmpfs" {
		must(t, os.Mkdir(l.spool, 0o755))
		l.mount("tmpfs", l.spool, 0, "mode=755")
	}
	for _, d := range []string{l.root, l.upper, l.work, l.merge} {
		must(t, os.MkdirAll(d, 0o755))
	}
	l.o.NoSync = true
	l.o.SameMount = on == "disk" && spool == "disk"
	return l
}

func (l *lab) mount(kind, dir string, flags uintptr, options string) {
	l.t.Helper()
	if err := syscall.Mount(kind, dir, kind, flags, options); err != nil {
		l.t.Fatalf("mount %s on %s (%s): %v", kind, dir, options, err)
	}
	l.t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// run lets script work in the overlay, at the directory that it is given.
func (l *lab) run(script func(root string)) {
	l.t.Helper()
	l.quietRun(script)
	l.overlay() // once more, because inode numbers of links are only right in a fresh one
	l.view = manifest(l.t, l.merge)
	must(l.t, syscall.Unmount(l.merge, 0))
}

// quietRun is run without looking at the result.
func (l *lab) quietRun(script func(root string)) {
	l.t.Helper()
	up, low := l.open(l.upper), l.open(l.root)
	must(l.t, Seed(up, low))
	time.Sleep(12 * time.Millisecond) // what the test itself did to the root must lie before the start
	l.o.Started = Now()
	l.overlay()
	script(l.merge)
	must(l.t, syscall.Unmount(l.merge, 0))
}

func (l *lab) overlay() {
	l.t.Helper()
	l.mount("overlay", l.merge, syscall.MS_NOATIME, "lowerdir="+l.root+",upperdir="+l.upper+",workdir="+l.work+
		",userxattr,redirect_dir=nofollow,metacopy=off,index=off,xino=off,nfs_export=off")
}

func (l *lab) open(dir string) *os.File {
	l.t.Helper()
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	must(l.t, err)
	l.t.Cleanup(func() { f.Close() })
	return f
}

func (l *lab) inspect() (*Plan, error) {
	return Inspect(context.Background(), l.open(l.upper), l.open(l.root), l.o)
}

// commit inspects and commits; both must work.
func (l *lab) commit() *Plan {
	l.t.Helper()
	p, err := l.inspect()
	must(l.t, err)
	must(l.t, p.Commit(context.Background()))
	return p
}

// same fails the test unless root is exactly what the overlay showed.
func (l *lab) same() {
	l.t.Helper()
	if d := cmp.Diff(l.view, manifest(l.t, l.root)); d != "" {
		l.t.Errorf("root differs from what the command saw (-seen +committed):\n%s", d)
	}
}

// manifest describes every inode below dir: type, mode, owner, size, time, content, link group, attributes.
func manifest(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	first := map[at.Inode]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		rel := strings.TrimPrefix(path, dir)
		line := fmt.Sprintf("%o %d:%d %d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFLNK:
			target, err := os.Readlink(path)
			must(t, err)
			line += " -> " + target
		case syscall.S_IFREG:
			data, err := os.ReadFile(path)
			must(t, err)
			line += fmt.Sprintf(" %d %x", len(data), sha256.Sum256(data))
		case syscall.S_IFCHR, syscall.S_IFBLK:
			line += fmt.Sprintf(" dev %x", st.Rdev)
		}
		if st.Mode&syscall.S_IFMT != syscall.S_IFDIR && st.Nlink > 1 {
			ino := at.Inode{Major: uint32(st.Dev), Number: st.Ino}
			if first[ino] == "" {
				first[ino] = rel
			}
			line += " link " + first[ino]
		}
		out[rel] = line + xattrs(t, path, st.Mode)
		return nil
	})
	must(t, err)
	return out
}

func xattrs(t testing.TB, path string, mode uint32) string {
	if mode&syscall.S_IFMT == syscall.S_IFLNK {
		return ""
	}
	buf := make([]byte, 64<<10)
	n, err := syscall.Listxattr(path, buf)
	must(t, err)
	var out []string
	for _, name := range strings.Split(string(buf[:n]), "\x00") {
		if name == "" || machineOnly(name) {
			continue
		}
		val := make([]byte, 64<<10)
		n, err := syscall.Getxattr(path, name, val)
		must(t, err)
		out = append(out, fmt.Sprintf(" %s=%x", name, val[:n]))
	}
	sort.Strings(out)
	return strings.Join(out, "")
}

// removeAll is os.RemoveAll for trees of any depth and directories of any mode.
func removeAll(t testing.TB, path string) {
	t.Helper()
	dir, err := os.Open(filepath.Dir(path))
	must(t, err)
	defer dir.Close()
	if where, err := at.RemoveAll(int(dir.Fd()), filepath.Base(path)); err != nil {
		t.Errorf("remove %q: %v", where, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

// list is changes as "kind type path" lines.
func list(p *Plan) []string {
	var out []string
	for _, c := range p.Changes() {
		out = append(out, string(c.Kind)+" "+c.Type+" "+c.Path)
	}
	return out
}
