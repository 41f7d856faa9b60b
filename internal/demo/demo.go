// Package demo is crossroot's demonstration: it makes a small foreign root out of stand-ins, runs scripts in it that
// would have damaged a machine which only a PATH protects, and checks what became of the root and of the machine. It
// promises that whatever it reports was looked at, and that it leaves nothing behind but the root it was told to keep;
// it knows nothing of how a sandbox is made and of how the report looks.
package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/standin"
	"github.com/crossroot/crossroot/internal/tree"
)

// Options of Open; the zero value works in a temporary directory.
type Options struct {
	// Keep is where the root is made and stays; "": a temporary directory, removed by Close. It must be empty or missing.
	Keep     string
	Dirs     session.Dirs
	Warn     func(text string)
	Progress func(done, total int, what string)
}

// Demo is the stage: a root, and what is watched on the machine.
type Demo struct {
	Root   string // directory of the foreign root
	Canary string // a directory of the machine's own, which the scripts reach for
	Arch   arch.Arch

	o    Options
	temp string
}

// target is the CPU of the demonstration's root; the second is for machines that may run the first themselves.
var target = []string{"armhf", "riscv64"}

// ErrNoShell: none of the shells that the root could have is there natively.
var ErrNoShell = errors.New("this machine has neither dash nor bash in its PATH to run the scripts natively")

// Open makes the root and the canary directory.
func Open(o Options) (*Demo, error) {
	shell := ""
	for _, name := range []string{"dash", "bash"} {
		if _, err := exec.LookPath(name); err == nil {
			shell = name
			break
		}
	}
	if shell == "" {
		return nil, ErrNoShell
	}
	temp, err := os.MkdirTemp("", "crossroot-demo-")
	if err != nil {
		return nil, err
	}
	d := &Demo{Root: filepath.Join(temp, "root"), Canary: filepath.Join(temp, "host"), o: o, temp: temp}
	if o.Keep != "" {
		if d.Root, err = filepath.Abs(o.Keep); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	for _, name := range target {
		a, ok := arch.Lookup(name)
		if ok && !a.MayRunOn(arch.Host()) {
			d.Arch = a
			break
		}
	}
	if err := errors.Join(d.makeCanary(), standin.Root(d.Root, d.Arch, standin.Options{Shell: shell})); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// makeCanary fills the watched directory with things that scripts like to destroy.
func (d *Demo) makeCanary() error {
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/hosts": "127.0.0.1 localhost\n",
		"var/lib/data": "precious\n", "home/user/thesis": "three years\n",
	} {
		name = filepath.Join(d.Canary, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// Close removes what was made, but for a root that is to be kept.
func (d *Demo) Close() error { return os.RemoveAll(d.temp) }

// Check is one claim that was looked at.
type Check struct {
	Claim string
	Err   error // nil: it holds
}

// Outcome is what became of one act.
type Outcome struct {
	Act    Act
	Output string // of the script, both streams
	Result *session.Result
	Checks []Check // of the root
	Host   []Check // of the machine
}

// Passed reports whether every claim holds.
func (o *Outcome) Passed() bool {
	for _, c := range append(o.Checks[:len(o.Checks):len(o.Checks)], o.Host...) {
		if c.Err != nil {
			return false
		}
	}
	return true
}

// Play runs one act's script and looks at root and machine. An error means that the script could not be run.
func (d *Demo) Play(ctx context.Context, a Act) (*Outcome, error) {
	host, err := d.snapshot()
	if err != nil {
		return nil, err
	}
	before, err := d.scan()
	if err != nil {
		return nil, err
	}
	out := &Outcome{Act: a}
	if out.Output, out.Result, err = d.run(ctx, a.Script); err != nil {
		return nil, err
	}
	after, err := d.scan()
	if err != nil {
		return nil, err
	}
	s := scene{outcome: out, before: before, after: after}
	s.check(fmt.Sprintf("the script ended with status %d", a.Exit), out.Result.Exit.Code == a.Exit && out.Result.Exit.Exec == "",
		"it was %d %s", out.Result.Exit.Code, out.Result.Exit.Exec)
	a.look(&s)
	out.Checks = s.checks
	out.Host = d.compare(host)
	return out, nil
}

func (d *Demo) scan() (*tree.Manifest, error) {
	dir, err := os.Open(d.Root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return tree.Scan(dir, tree.Options{})
}

// run runs a script in the root as `crossroot run` would, with its output caught.
func (d *Demo) run(ctx context.Context, script string) (string, *session.Result, error) {
	root, err := session.OpenRoot(d.Root)
	if err != nil {
		return "", nil, err
	}
	defer root.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return "", nil, err
	}
	defer r.Close()
	text := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, io.LimitReader(r, 1<<20))
		text <- b.String()
	}()
	result, err := session.Run(ctx, root, session.Options{
		Command: []string{"/bin/sh", "-c", script}, Env: []string{"CANARY=" + d.Canary},
		Fidelity: policy.Near, NoEmulator: true, NullStdin: true, Dirs: d.o.Dirs,
		Stdio: [3]*os.File{nil, w, w}, Warn: d.o.Warn, Progress: d.o.Progress,
	})
	w.Close()
	return <-text, result, err
}
