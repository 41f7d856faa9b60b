package broker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// Explanation is what would run for one path of a target root.
type Explanation struct {
	Path        string          `json:"path"`     // as asked
	Resolved    string          `json:"resolved"` // symlinks followed inside the root
	Script      bool            `json:"script,omitempty"`
	Interpreter string          `json:"interpreter,omitempty"` // of a script
	Argument    string          `json:"argument,omitempty"`    // what follows the interpreter in the script's first line
	Arch        string          `json:"arch,omitempty"`        // of an executable
	Size        int64           `json:"size,omitempty"`        // bytes
	Applet      string          `json:"applet,omitempty"`
	Decision    policy.Decision `json:"decision"`           // for a script: the row that names it, or that it runs as it is
	Tool        *toolroot.Tool  `json:"tool,omitempty"`     // of a native decision, and what the tool root has in any case
	Via         *Explanation    `json:"via,omitempty"`      // of a script: its interpreter
	Emulator    bool            `json:"emulator,omitempty"` // there is one for the executable's architecture
}

// maxInterpreters is the kernel's limit for scripts that interpret scripts.
const maxInterpreters = 5

// Explain decides as a run would, without one. unsafePath is absolute, or looked up in the usual PATH.
func (b *Broker) Explain(unsafePath, applet string) (*Explanation, error) {
	return b.explain(unsafePath, applet, 0)
}

func (b *Broker) explain(unsafePath, applet string, depth int) (*Explanation, error) {
	if depth > maxInterpreters {
		return nil, fmt.Errorf("%s: too many interpreters", unsafePath)
	}
	file, err := b.find(unsafePath)
	if err != nil {
		return nil, err
	}
	f, err := fd.OpenRegular(b.Root, file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	x := &Explanation{Path: unsafePath, Applet: applet}
	if x.Resolved, err = b.resolved(f); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	x.Size = info.Size()
	line, _ := bufio.NewReader(io.NewSectionReader(f, 0, 256)).ReadString('\n') // what there is
	if strings.HasPrefix(line, "#!") {
		return x, b.explainScript(x, line, depth)
	}
	image, err := elfimage.Open(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s is neither an executable nor a script with an interpreter line: %w", x.Resolved, err)
	}
	a, ok := arch.IdentifyProgram(image.Header, image.Interp())
	if !ok {
		return nil, fmt.Errorf("%s: CPU architecture not known (ELF machine %d)", x.Resolved, image.Machine)
	}
	e := &executable{file: f, path: x.Resolved, arch: a, libc: libcOf(image.Interp())}
	x.Arch, x.Emulator = a.Name, b.Emulators[a.Name]
	if !b.Dispatch && a.RunsNativelyOn(b.Host) {
		x.Decision = policy.Decision{Outcome: policy.Native, Reason: "this machine runs " + a.Name + " itself: nothing is dispatched, and no row of the policy holds"}
		return x, nil
	}
	x.Decision = b.ask(e, "")
	if nativePython(x.Decision) {
		if _, _, err := b.planPython(); err != nil {
			x.Decision = withoutNative(x.Decision, "python: "+err.Error()+": emulated")
		}
	}
	if x.Decision.Multicall {
		if applet == "" {
			applet = path.Base(unsafePath)
			x.Applet = applet
		}
		x.Decision = b.ask(e, applet)
	}
	if row, ok := b.Policy.Match(x.Resolved, false, x.Applet); ok && b.Tools != nil {
		if tool, ok := b.tool(row, x.Resolved); ok {
			x.Tool = &tool
		}
	}
	return x, nil
}

// explainScript fills in what concerns a script.
func (b *Broker) explainScript(x *Explanation, line string, depth int) error {
	x.Script = true
	words := strings.SplitN(strings.TrimSpace(line[2:]), " ", 2)
	if words[0] == "" {
		return fmt.Errorf("%s: its first line names no interpreter", x.Resolved)
	}
	x.Interpreter = words[0]
	if len(words) > 1 {
		x.Argument = strings.TrimSpace(words[1])
	}
	x.Decision = policy.Decision{Outcome: policy.Native, Reason: "nothing is dispatched in a root for this machine's own CPU"}
	if b.Dispatch {
		x.Decision = b.Policy.Decide(policy.Subject{Path: x.Resolved, Script: true, Target: b.Target, Host: b.Host, Fidelity: b.Fidelity})
	}
	via, err := b.explain(x.Interpreter, "", depth+1)
	if err != nil {
		return fmt.Errorf("%s: interpreter %s: %w", x.Resolved, x.Interpreter, err)
	}
	x.Via = via
	return nil
}

// find looks a bare name up in the usual directories.
func (b *Broker) find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return path.Clean("/" + name), nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if f, err := fd.OpenRegular(b.Root, dir+"/"+name); err == nil {
			f.Close()
			return dir + "/" + name, nil
		}
	}
	return "", &os.PathError{Op: "find in PATH of the root", Path: name, Err: unix.ENOENT}
}

// resolved is the path of an open file inside the root.
func (b *Broker) resolved(f *os.File) (string, error) {
	full, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return "", err
	}
	top, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(b.Root.Fd())))
	if err != nil {
		return "", err
	}
	inside, ok := strings.CutPrefix(full, strings.TrimSuffix(top, "/"))
	if !ok {
		return "", errors.New("the file was moved out of the root meanwhile")
	}
	return inside, nil
}
