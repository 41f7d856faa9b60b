// Package entry is crossroot's own program inside the sandbox, started by the exec map in place of an executable or
// script whose outcome depends on its arguments, or is a builtin, a stub or a denial. It runs with the rights of the
// script and promises nothing that the script couldn't do itself; it knows the order that the broker laid down, and
// nothing else.
package entry

import (
	"encoding/binary"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
)

// Called returns the name by which the kernel executed this process, if that lies in the exec map.
func Called() (string, bool) {
	if _, err := os.Lstat(protocol.HiddenDir + "/self"); err != nil {
		return "", false
	}
	name, err := execName()
	if err != nil || !strings.HasPrefix(name, protocol.HiddenDir+"/") || strings.HasSuffix(name, "/self") {
		return "", false
	}
	return name, true
}

// execName reads AT_EXECFN, the name given to execve, from this process's auxiliary vector (getauxval(3)).
func execName() (string, error) {
	const atExecFn = 31
	aux, err := os.ReadFile(protocol.HiddenDir + "/proc/self/auxv")
	if err != nil {
		return "", err
	}
	for i := 0; i+16 <= len(aux); i += 16 {
		if binary.LittleEndian.Uint64(aux[i:]) != atExecFn {
			continue
		}
		mem, err := os.Open(protocol.HiddenDir + "/proc/self/mem")
		if err != nil {
			return "", err
		}
		defer mem.Close()
		buf := make([]byte, unix.PathMax)
		// The name is the last thing on the stack: a short read is normal.
		n, err := mem.ReadAt(buf, int64(binary.LittleEndian.Uint64(aux[i+8:])))
		if n == 0 {
			return "", err
		}
		name, _, _ := strings.Cut(string(buf[:n]), "\x00")
		return name, nil
	}
	return "", fmt.Errorf("no AT_EXECFN")
}

// Exit codes of what could not be executed, as a shell's.
const (
	exitDenied   = 126
	exitNotFound = 127
)

// Main carries the order out; argv is as the program called by it expects it.
func Main(name string, argv []string) int {
	o, err := orderOf(name)
	if err != nil {
		return complain(name, err)
	}
	words := argv
	if o.Script {
		words = scriptWords(argv, o.Path)
		o.Path = path.Clean(words[0])
	}
	d := policy.Pick(o.Decision, words)
	if d.Outcome == policy.Native && strings.HasPrefix(path.Base(d.Native), "python3.") {
		if why := foreignPython(argv, os.Environ()); why != "" {
			d.Outcome, d.Reason = policy.Emulate, "python: "+why+": emulated"
		}
	}
	switch d.Outcome {
	case policy.Builtin:
		note(o, d, nil)
		return builtin(d.Builtin, words)
	case policy.Stub:
		note(o, d, words)
		if d.Message != "" {
			fmt.Fprintln(os.Stderr, d.Message)
		}
		return d.Exit
	case policy.Deny:
		note(o, d, words)
		if d.Message != "" {
			fmt.Fprintln(os.Stderr, d.Message)
		}
		fmt.Fprintf(os.Stderr, "crossroot: %s is denied: %s\n", label(o), d.Reason)
		if d.Exit != 0 {
			return d.Exit
		}
		return exitDenied
	case policy.Native:
		note(o, d, nil)
		if o.Script {
			return runScript(name, argv)
		}
		return complain(d.Native, syscall.Exec(d.Native, argv, os.Environ()))
	}
	if !o.Emulator {
		d.Outcome = broker.Unrunnable
	}
	note(o, d, nil)
	return emulate(o, d, argv)
}

// orderOf reads the order behind a name of the exec map.
func orderOf(name string) (broker.Order, error) {
	var o broker.Order
	to, err := os.Readlink(name)
	if err != nil {
		return o, err
	}
	f, err := os.Open(to + ".order")
	if err != nil {
		return o, err
	}
	defer f.Close()
	return o, gob.NewDecoder(f).Decode(&o)
}

// scriptWords turns the interpreter's argument vector into the script's own: its name and what follows. The order's
// path may be a pattern for all scripts of a directory.
func scriptWords(argv []string, script string) []string {
	for i, a := range argv {
		if ok, err := path.Match(script, path.Clean(a)); i > 0 && ok && err == nil {
			return argv[i:]
		}
	}
	return argv
}

// runScript executes the interpreter that was called for the script: what the exec map has for it, under whatever name.
func runScript(name string, argv []string) int {
	key, _, ok := strings.Cut(name, ".i/")
	if !ok {
		return complain(name, unix.ENOENT)
	}
	if to, err := anyLink(key); err == nil {
		return complain(key, syscall.Exec(to, argv, os.Environ()))
	}
	to, err := anyLink(key + ".e")
	if err != nil {
		return complain(key, err)
	}
	arch, _, _ := strings.Cut(strings.TrimPrefix(name, protocol.HiddenDir+"/"), "/exec/")
	file := "/" + path.Dir(strings.TrimPrefix(key, protocol.HiddenDir+"/"+arch+"/exec/"))
	return complain(file, syscall.Exec(to, emulation(arch, file, argv), os.Environ()))
}

// anyLink returns where the links in a directory of the exec map lead: all to the same place.
func anyLink(dir string) (string, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(names) == 0 {
		return "", unix.ENOENT
	}
	return os.Readlink(dir + "/" + names[0].Name())
}

// emulate runs the target's own executable under the emulator, or says that there is none.
func emulate(o broker.Order, d policy.Decision, argv []string) int {
	if !o.Emulator {
		fmt.Fprintf(os.Stderr, "crossroot: %s can't run: %s, and no emulator for %s was found: install qemu-user-static\n", label(o), d.Reason, o.Arch)
		return exitDenied
	}
	return complain(o.Path, syscall.Exec(protocol.HiddenDir+"/"+o.Arch+"/qemu", emulation(o.Arch, o.Path, argv), os.Environ()))
}

// emulation is the emulator's argument vector, as the dispatcher makes it.
func emulation(arch, file string, argv []string) []string {
	vector := []string{protocol.HiddenDir + "/" + arch + "/entry"}
	if cpu, err := os.Readlink(protocol.HiddenDir + "/" + arch + "/cpu"); err == nil {
		vector = append(vector, "-cpu", cpu)
	}
	arg0 := file
	if len(argv) > 0 {
		arg0 = argv[0]
		argv = argv[1:]
	}
	return append(append(vector, "-0", arg0, file), argv...)
}

// note writes a line into the record of executions.
func note(o broker.Order, d policy.Decision, words []string) {
	line, err := json.Marshal(broker.Call{Path: o.Path, Applet: o.Applet, Outcome: d.Outcome, Row: d.Row, Reason: d.Reason, Args: words})
	if err != nil {
		return
	}
	f, err := os.OpenFile(protocol.HiddenDir+"/log", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.Write(append(append([]byte(broker.CallPrefix), line...), '\n'))
}

func label(o broker.Order) string {
	if o.Applet != "" {
		return o.Path + " " + o.Applet
	}
	return o.Path
}

// complain says why an execution failed; it returns only when it did.
func complain(what string, err error) int {
	fmt.Fprintf(os.Stderr, "crossroot: execute %s: %v\n", what, err)
	if err == unix.ENOENT {
		return exitNotFound
	}
	return exitDenied
}
