package keeper

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/kernel/mount"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// identity tells roots apart: a directory that was removed and made again may have the number of the old one.
type identity struct {
	dev, ino uint64
	birth    int64
}

// identify reads the identity of a directory by a path, whose links, also the kernel's own in /proc, are followed.
func identify(name string) (identity, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, name, 0, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return identity{}, &os.PathError{Op: "statx", Path: name, Err: err}
	}
	return identity{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino, st.Btime.Sec*1e9 + int64(st.Btime.Nsec)}, nil
}

// root is a root in which something foreign was executed.
type root struct {
	id     identity
	number int
	name   string // its path as the builder's host sees it
	arch   arch.Arch
	dir    string // the hidden directory on the stage
	view   string // what processes see of it
	from   string // where the tools came from, in words
	tools  *tools
	broker *broker.Broker

	once sync.Once
	err  error

	// Under the keeper's lock: how many attachments there are, and whether the mount point is the keeper's.
	users int
	made  bool
	noted bool
}

// tools is a tool root, attached to the stage.
type tools struct {
	dir   string
	index *toolroot.Index
}

// open returns the root with the identity, prepared for executables of an architecture.
func (k *keeper) open(id identity, a arch.Arch, dir *os.File) (*root, error) {
	k.mu.Lock()
	r := k.roots[id]
	if r == nil {
		r = &root{id: id, number: len(k.roots), arch: a, dir: "/root/" + strconv.Itoa(len(k.roots)), view: "/view/" + strconv.Itoa(len(k.roots))}
		k.roots[id] = r
	}
	k.mu.Unlock()
	r.once.Do(func() { r.err = k.prepare(r, dir) })
	return r, r.err
}

// prepare makes the hidden directory of a root.
func (k *keeper) prepare(r *root, dir *os.File) error {
	r.name, _ = os.Readlink("/proc/self/fd/" + strconv.Itoa(int(dir.Fd())))
	o := k.ask(Event{Root: r.number, Arch: r.arch.Name, Name: r.name}, dir)
	r.from = o.From
	if o.Base != "" {
		t, err := k.attachTools(o.Base, o.Extra)
		if err != nil {
			k.warn("%s: the tool root can't be used, everything is emulated: %v", r.name, err)
		}
		r.tools = t
	}
	if err := k.hidden(r); err != nil {
		return err
	}
	b := broker.Options{
		Target: r.arch, Host: arch.Host(), Policy: k.policy, Fidelity: k.setup.Fidelity, Emulators: map[string]bool{},
		Dispatch: true, Hidden: r.dir, NoStubs: !k.setup.Stubs, Handlers: k.handlerOf,
		Record: r.dir + "/record/log", Follower: k.follower(r),
		ToolFile: func(inside string) string { return r.view + inside[len(protocol.HiddenDir):] },
	}
	for _, e := range k.setup.Emulators {
		b.Emulators[e.Arch] = true
	}
	if r.tools != nil {
		b.Tools = r.tools.index
	}
	var err error
	if r.broker, err = broker.New(b); err != nil {
		return err
	}
	proc, err := os.OpenFile("/procfs", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	r.broker.SampleOf(proc, func(pid int) bool {
		found, err := identify("/procfs/" + strconv.Itoa(pid) + "/root")
		return err == nil && found == r.id
	})
	return nil
}

// ask asks outside which tools there are for a root.
func (k *keeper) ask(e Event, files ...*os.File) Order {
	answer := make(chan Order, 1)
	k.mu.Lock()
	k.asked++
	e.Kind, e.ID = EventTools, k.asked
	k.answers[e.ID] = answer
	k.mu.Unlock()
	if err := k.conn.Send(e, files...); err != nil {
		return Order{Error: err.Error()}
	}
	return <-answer
}

// attachTools mounts a tool root on the stage, once.
func (k *keeper) attachTools(base, extra string) (*tools, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.tools[base+"\x00"+extra]; t != nil {
		return t, nil
	}
	t := &tools{dir: "/tools/" + strconv.Itoa(len(k.tools))}
	layers := []string{"/host" + base}
	if extra != "" {
		layers = []string{"/host" + extra, "/host" + base}
	}
	if err := k.readOnly(t.dir, layers...); err != nil {
		return nil, err
	}
	var err error
	if extra == "" {
		t.index, err = toolroot.ReadIndex("/host"+base, "")
	} else {
		t.index, err = toolroot.ReadIndex("/host"+base, "/host"+extra)
	}
	if err != nil {
		return nil, err
	}
	k.tools[base+"\x00"+extra] = t
	return t, nil
}

// Bounds of a hidden directory: the exec map's bytes and names, and the record of executions.
const (
	hiddenSize   = "64m"
	hiddenInodes = "128k"
	recordLimit  = 16 << 20
)

// hidden fills the hidden directory of a root: the same that a run has.
func (k *keeper) hidden(r *root) error {
	if err := tmpfs(r.dir, hiddenSize, hiddenInodes, mount.NoDev); err != nil {
		return err
	}
	for _, d := range []string{"do", "exe", "perl", "proc", "t", "record"} {
		if err := os.Mkdir(r.dir+"/"+d, 0o755); err != nil {
			return err
		}
	}
	if err := tmpfs(r.dir+"/record", strconv.Itoa(recordLimit), "16", mount.NoDev|mount.NoExec|mount.NoSuid); err != nil {
		return err
	}
	if err := os.WriteFile(r.dir+"/record/log", nil, 0o666); err != nil {
		return err
	}
	if err := os.WriteFile(r.dir+"/log", nil, 0o644); err != nil {
		return err
	}
	if err := k.makeView(r); err != nil {
		return err
	}
	if err := bind(r.dir+"/record/log", r.view+"/log", 0); err != nil {
		return err
	}
	if err := bind("/procfs", r.view+"/proc", 0); err != nil {
		return err
	}
	self, err := k.locked(k.setup.Image)
	if err != nil {
		return err
	}
	if err := r.bindFile(self, "/self"); err != nil {
		return err
	}
	if r.tools != nil {
		if err := k.showTools(r); err != nil {
			return err
		}
	}
	for _, a := range arch.All() {
		if k.handlerOf[a.Name] != a.Name {
			continue
		}
		if k.handlerOf[r.arch.Name] == a.Name {
			a = r.arch // its own model of the CPU
		}
		if err := k.showArch(r, a); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) locked(file string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seal(file)
}

// showTools attaches the tool root, whose directories appear by links.
func (k *keeper) showTools(r *root) error {
	if r.arch.LittleEndian() == arch.Host().LittleEndian() { // compiled locales have the byte order of their CPU
		if err := os.Symlink("/usr/lib/locale", r.dir+"/locale"); err != nil {
			return err
		}
	}
	if err := bind(r.tools.dir, r.view+"/t", 0); err != nil {
		return err
	}
	return r.linkTools()
}

// linkTools makes the links to what is in a tool root.
func (r *root) linkTools() error {
	entries, err := os.ReadDir(r.view + "/t")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Symlink("t/"+e.Name(), r.dir+"/"+e.Name()); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// showArch makes the directory of an architecture, with its emulator.
func (k *keeper) showArch(r *root, a arch.Arch) error {
	inside := "/" + k.handlerOf[a.Name]
	dir := r.dir + inside
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := os.Symlink("../self", dir+"/entry"); err != nil {
		return err
	}
	for _, e := range k.setup.Emulators {
		if e.Arch != a.Name {
			continue
		}
		if e.CPU != "" {
			if err := os.Symlink(e.CPU, dir+"/cpu"); err != nil {
				return err
			}
		}
		file, err := k.locked(e.File.Path)
		if err != nil {
			return err
		}
		return r.bindFile(file, inside+"/qemu")
	}
	return nil
}

// tmpfs mounts a new one on a new directory, or an empty one.
func tmpfs(at, size, inodes string, attributes int) error {
	if err := os.Mkdir(at, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	t, err := mount.New("tmpfs", attributes, mount.Option{Key: "size", Value: size}, mount.Option{Key: "nr_inodes", Value: inodes}, mount.Option{Key: "mode", Value: "755"})
	if err != nil {
		return err
	}
	defer t.Close()
	return mount.AttachAt(t, at)
}

// bind attaches a clone of a directory or file.
func bind(source, target string, attributes uint64) error {
	tree, err := mount.Clone(nil, source, false)
	if err != nil {
		return err
	}
	defer tree.Close()
	if attributes != 0 {
		if err := mount.SetAttributes(tree, attributes, false); err != nil {
			return err
		}
	}
	return mount.AttachAt(tree, target)
}

func (r *root) bindFile(source, target string) error {
	if err := os.WriteFile(r.dir+target, nil, 0o644); err != nil {
		return fmt.Errorf("attach %s: %w", path.Base(source), err)
	}
	return bind(source, r.view+target, mount.ReadOnly|mount.NoDev)
}
