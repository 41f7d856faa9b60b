package broker

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/seccomp"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
)

// miss decides for an executable that the exec map doesn't know and writes the entry; 0 when there is one now. What
// the peer contributes is a descriptor and a name for the applet: path, size, time and content are the kernel's word. top
// is the path of the peer's root as this process sees it, "" where it is the root of paths.
func (b *Broker) miss(l *seccomp.Listener, r seccomp.Request, top string) unix.Errno {
	applet, err := readString(r.PID, r.Args[2], 255)
	if err != nil || !component(applet) {
		applet = ""
	}
	comm, err := readString(r.PID, r.Args[4], 16)
	if err != nil || !component(comm) {
		return unix.EINVAL
	}
	file, err := descriptor(r.PID, int(int32(r.Args[1])))
	if err != nil {
		return number(err)
	}
	defer file.Close()
	if !l.Valid(r.ID) {
		return unix.ESRCH
	}
	e, err := b.examine(file, top)
	if err != nil {
		return number(err)
	}
	err = b.enterOnce(e, applet, comm, r.Args[3] != 0, false)
	if errors.Is(err, errLacking) {
		b.follow()
		err = b.enterOnce(e, applet, comm, r.Args[3] != 0, true)
	}
	if err != nil {
		return number(err)
	}
	return 0
}

// errLacking: the decision could be another one with the tool root that fits the packages which the root has by now.
var errLacking = errors.New("the tool root lacks something")

// enterOnce is enter with the lock taken; last says that the tool root is as good as it gets.
func (b *Broker) enterOnce(e *executable, applet, comm string, preload, last bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.enter(e, applet, comm, preload, last)
}

// component reports whether a peer's word can be the name of one entry.
func component(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.Contains(name, "/")
}

// executable is a foreign executable as the kernel shows it.
type executable struct {
	file *os.File
	path string // from the run's root
	key  string // size and time of modification, as the dispatcher spells them
	arch arch.Arch
	libc string
}

// examine looks at the file behind a descriptor, in a root whose own path is top.
func (b *Broker) examine(file *os.File, top string) (*executable, error) {
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(file.Fd())))
	if err != nil {
		return nil, err
	}
	name, ok := strings.CutPrefix(name, top)
	if !ok {
		return nil, unix.ENOEXEC
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || !strings.HasPrefix(name, "/") {
		return nil, unix.ENOEXEC
	}
	e := &executable{file: file, path: name, key: fmt.Sprintf("%d-%d-%d", st.Size, st.Mtim.Sec, st.Mtim.Nsec)}
	image, err := elfimage.Open(file, st.Size)
	if err != nil {
		return nil, unix.ENOEXEC
	}
	a, known := arch.IdentifyProgram(image.Header, image.Interp())
	if !known {
		return nil, unix.ENOEXEC
	}
	e.arch = a
	e.libc = libcOf(image.Interp())
	return e, nil
}

// libcOf names the C library by its program interpreter.
func libcOf(interpreter string) string {
	base := path.Base(interpreter)
	switch {
	case interpreter == "":
		return ""
	case strings.HasPrefix(base, "ld-musl"):
		return "musl"
	case strings.HasPrefix(base, "ld-uClibc"):
		return "uclibc"
	}
	return "glibc"
}

// preloadMark ends the entries for executions with LD_PRELOAD.
const preloadMark = ".p"

// enter decides and writes the exec map's entry (under the lock) for a process called comm; with preload it is the one
// for executions with LD_PRELOAD, whose libraries are of the target's CPU. Unless it is the last try, the error is
// errLacking where another tool root could be better.
func (b *Broker) enter(e *executable, applet, comm string, preload, last bool) error {
	dir := b.mapDir(e.arch) + "/exec" + e.path
	if err := os.MkdirAll(b.here(dir), 0o755); err != nil {
		return err
	}
	entry := dir + "/" + e.key
	if known := b.known(entry, applet, preload); known != "" {
		return b.write(known, comm, b.decisions[known])
	}
	d := b.decide(e, "")
	python := strings.HasPrefix(path.Base(e.path), pythonPrefix)
	if d.Interpreter {
		if err := symlink(b.mapDir(e.arch)+"/script", b.here(entry+".i")); err != nil {
			return err
		}
	}
	if d.Multicall {
		if applet == "" {
			return unix.ENOENT
		}
		d = b.decide(e, applet)
		entry += ".m/" + applet
	} else {
		applet = ""
	}
	if preload {
		entry += preloadMark
		d = withoutNative(d, "LD_PRELOAD is set, and its libraries are of the target's CPU")
	}
	if !preload {
		if !last && b.mayFollow(d) {
			return errLacking
		}
		b.explainLacking(entry, &d)
	}
	b.decisions[entry] = &decided{path: e.path, applet: applet, arch: e.arch, decision: d, ordered: b.ordered(e.arch, d), python: python}
	return b.write(entry, comm, b.decisions[entry])
}

// known returns the entry that was decided for before, under whatever name the process had; "" if there is none.
func (b *Broker) known(entry, applet string, preload bool) string {
	mark := ""
	if preload {
		mark = preloadMark
	}
	for _, e := range []string{entry + mark, entry + ".m/" + applet + mark} {
		if b.decisions[e] != nil {
			return e
		}
	}
	return ""
}

// here is where a name of the hidden directory is for this process.
func (b *Broker) here(inside string) string {
	if b.Hidden == "" {
		return inside
	}
	return b.Hidden + strings.TrimPrefix(inside, protocol.HiddenDir)
}

// mapDir is the directory of an architecture's handler.
func (b *Broker) mapDir(a arch.Arch) string {
	if h := b.Handlers[a.Name]; h != "" {
		return protocol.HiddenDir + "/" + h
	}
	return protocol.HiddenDir + "/" + a.Name
}

// ordered reports whether crossroot's own entry carries a decision out: it depends on the arguments, or is no execution
// of a program, or there is no emulator for it.
func (b *Broker) ordered(a arch.Arch, d policy.Decision) bool {
	switch {
	case d.Outcome == policy.Native && isPython(d.Native): // it looks for a virtual environment
		return true
	case len(d.ByArgs) > 0 || d.Outcome == policy.Builtin || d.Outcome == policy.Stub || d.Outcome == policy.Deny:
		return true
	case d.Outcome == policy.Emulate:
		return !b.Emulators[a.Name]
	}
	return false
}

// write makes the entry of a decision for processes called comm.
func (b *Broker) write(entry, comm string, d *decided) error {
	to := d.decision.Native
	if emulates(d.decision) {
		b.costs.start()
	}
	switch {
	case d.ordered:
		if d.order == "" {
			var err error
			if d.order, err = b.order(d.arch, d.path, d.applet, d.decision); err != nil {
				return err
			}
		}
		to = d.order
	case d.decision.Outcome == policy.Emulate:
		entry, to = entry+".e", b.mapDir(d.arch)+"/qemu"
	}
	if err := os.MkdirAll(b.here(entry), 0o755); err != nil {
		return err
	}
	return symlink(to, b.here(entry+"/"+comm))
}

func symlink(to, name string) error {
	if err := os.Symlink(to, name); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// Order is what crossroot's own entry inside does for one decision: the content (gob, since names are any bytes) of
// /.cr/do/N.order.
type Order struct {
	Arch     string // of the target's executable
	Path     string // of the executable or script
	Applet   string
	Script   bool
	Emulator bool // there is one
	CPU      string
	Decision policy.Decision
}

// order lays an order down and returns the name to execute for it.
func (b *Broker) order(a arch.Arch, file, applet string, d policy.Decision) (string, error) {
	return b.lay(Order{Arch: a.Name, Path: file, Applet: applet, Emulator: b.Emulators[a.Name], CPU: a.QemuCPU, Decision: d})
}

func (b *Broker) lay(o Order) (string, error) {
	var text bytes.Buffer
	if err := gob.NewEncoder(&text).Encode(o); err != nil {
		return "", err
	}
	b.rows++
	name := protocol.HiddenDir + "/do/" + strconv.Itoa(b.rows)
	if err := os.WriteFile(b.here(name+".order"), text.Bytes(), 0o644); err != nil {
		return "", err
	}
	return name, symlink("../self", b.here(name))
}

// mapScripts writes the entries of the scripts that the policy names.
func (b *Broker) mapScripts() error {
	for _, row := range b.Policy.Scripts() {
		for _, program := range row.Programs {
			for _, file := range scriptPaths(program) {
				d := b.Policy.Decide(policy.Subject{Path: file, Script: true, Target: b.Target, Host: b.Host, Fidelity: b.Fidelity})
				if b.NoStubs {
					d = mapOutcomes(d, func(d *policy.Decision) {
						if d.Outcome == policy.Stub {
							d.Outcome = policy.Native
						}
					})
				}
				if d.Outcome == policy.Native && len(d.ByArgs) == 0 {
					continue
				}
				to, err := b.lay(Order{Arch: b.Target.Name, Path: file, Script: true, Emulator: b.Emulators[b.Target.Name], CPU: b.Target.QemuCPU, Decision: d})
				if err != nil {
					return err
				}
				entry := b.mapDir(b.Target) + "/script" + file
				if err := os.MkdirAll(b.here(path.Dir(entry)), 0o755); err != nil {
					return err
				}
				if err := symlink(to, b.here(entry)); err != nil {
					return err
				}
				b.decisions[entry] = &decided{path: file, decision: d, ordered: true}
			}
		}
	}
	return os.MkdirAll(b.here(b.mapDir(b.Target)+"/script"), 0o755)
}

// scriptPaths are the absolute names that a row's program has in roots of every shape. Rows of scripts have no globs.
func scriptPaths(program string) []string {
	if !strings.Contains(program, "/") {
		var all []string
		for _, dir := range []string{"/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"} {
			all = append(all, dir+program)
		}
		return all
	}
	if rest, ok := strings.CutPrefix(program, "/usr/"); ok {
		switch top, _, _ := strings.Cut(rest, "/"); top {
		case "bin", "sbin", "lib":
			return []string{program, "/" + rest}
		}
	}
	return []string{program}
}
