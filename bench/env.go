package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/crossroot/crossroot/test/roots"
)

// env is what all jobs share.
type env struct {
	binary          string
	foreign, native roots.Stage // first stages
	shared          map[place]string
	references      map[bool]roots.Stage // by place.native
	sets            map[bool]roots.Stage // as well; made when a job asks for one
	cache           roots.Cache
	made            map[string]string // what jobs made that is to be the same, by group
	twin            string            // of the finished foreign root
	work            string            // on the disk
	memory          string            // on a tmpfs; empty when there is none
	root            bool
	phases          *phases // of the job that is running
}

// prepare makes what is not measured: crossroot, the first stages, the finished roots, and crossroot's tool root.
func prepare(ctx context.Context, o options) (*env, error) {
	e := &env{root: os.Getuid() == 0, shared: map[place]string{}, references: map[bool]roots.Stage{}, sets: map[bool]roots.Stage{}, made: map[string]string{}}
	var err error
	if e.work, err = os.MkdirTemp("", "crossroot-bench-"); err != nil {
		return nil, err
	}
	if err := e.fill(ctx, o); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *env) fill(ctx context.Context, o options) error {
	if err := os.Chmod(e.work, 0o755); err != nil {
		return err
	}
	if isTmpfs("/dev/shm") {
		memory, err := os.MkdirTemp("/dev/shm", "crossroot-bench-")
		if err != nil {
			return err
		}
		e.memory = memory
		if err := os.Chmod(memory, 0o755); err != nil {
			return err
		}
	}
	if err := e.build(ctx, o); err != nil {
		return err
	}
	cache, err := roots.Open()
	if err != nil {
		return err
	}
	e.cache = cache
	progress("roots: a minute or two when they are not cached yet")
	for stage, arch := range map[*roots.Stage]string{&e.foreign: o.arch, &e.native: runtime.GOARCH} {
		if *stage, err = cache.First(ctx, arch); err != nil {
			return err
		}
		ref, err := cache.Reference(ctx, *stage)
		if err != nil {
			return err
		}
		e.references[stage == &e.native] = ref
	}
	return nil
}

func (e *env) build(ctx context.Context, o options) (err error) {
	if o.binary != "" {
		e.binary, err = filepath.Abs(o.binary)
		return err
	}
	e.binary = filepath.Join(e.work, "bin", "crossroot")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Dir(e.binary)+"/", "github.com/crossroot/crossroot/cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build crossroot: %w\n%s", err, out)
	}
	return nil
}

func (e *env) close() {
	for _, dir := range []string{e.work, e.memory} {
		if dir != "" {
			if err := roots.Remove(dir); err != nil {
				progress("%v", err)
			}
		}
	}
}

func (e *env) scratch(name string) string { return filepath.Join(e.work, name) }

// crossroot runs the binary under test; its output is only seen when it fails.
func (e *env) crossroot(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, e.binary, args...)
	cmd.Env = append(append(os.Environ(), "CROSSROOT_TOOLS=host"), e.foreign.Arch.Env...)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("crossroot %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

var errNoTmpfs = errors.New("no tmpfs on /dev/shm")

// place returns a root for a job, and what removes it.
func (e *env) place(ctx context.Context, p place) (root string, remove func(), err error) {
	stage := e.foreign
	if p.native {
		stage = e.native
	}
	if p.none {
		return "", func() {}, nil
	}
	if !p.fresh {
		root, err := e.finished(ctx, p)
		return root, func() {}, err
	}
	if p.set {
		if stage, err = e.packages(ctx, p.native); err != nil {
			return "", nil, err
		}
	}
	dir := e.work
	if p.memory {
		if e.memory == "" {
			return "", nil, errNoTmpfs
		}
		dir = e.memory
	}
	root = filepath.Join(dir, "root")
	if err := stage.Unpack(ctx, root); err != nil {
		return "", nil, err
	}
	return root, func() {
		if err := roots.Remove(root); err != nil {
			progress("%v", err)
		}
	}, nil
}

// finished is a root after the second stage, which jobs share and don't change.
func (e *env) finished(ctx context.Context, p place) (string, error) {
	if root, ok := e.shared[p]; ok {
		return root, nil
	}
	s := e.references[p.native]
	root := e.scratch("finished-" + s.Arch.Name)
	if err := s.Unpack(ctx, root); err != nil {
		return "", err
	}
	e.shared[p] = root
	return root, nil
}

// describe says on what the figures were taken.
func (e *env) describe(w io.Writer) {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("?")
	}
	who := "an ordinary user"
	if e.root {
		who = "root"
	}
	fmt.Fprintf(w, "%s root on %s, Linux %s, %d CPUs, as %s, disk %s\n",
		e.foreign.Arch.Name, runtime.GOARCH, strings.TrimSpace(string(kernel)), runtime.NumCPU(), who, filesystem(e.work))
}

const tmpfsMagic = 0x01021994 // linux/magic.h

func isTmpfs(dir string) bool { return filesystem(dir) == "tmpfs" }

func filesystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return err.Error()
	}
	names := map[int64]string{tmpfsMagic: "tmpfs", 0xef53: "ext4", 0x9123683e: "btrfs", 0x58465342: "xfs", 0x794c7630: "overlay"}
	if name, ok := names[int64(s.Type)]; ok {
		return name
	}
	return fmt.Sprintf("%#x", s.Type)
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
