package toolroot

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// scratch describes a root file system with nothing in it but the tool root,
// and what is to be run there. The test binary executes itself in new
// namespaces to make it: nothing of that is seen outside, and a tool that
// misunderstands its arguments finds nothing to break.
type scratch struct {
	Base, Variant string            // of the tool root
	Binds         map[string]string // directory inside → on the host
	Files         map[string]string // file inside → content
	Links         map[string]string // link inside → target
	Dir           string            // an empty directory for the root
	Commands      [][]string
}

// ran is what became of a command.
type ran struct {
	Output string
	Error  string
	Paths  []access // in the order of the calls
}

const scratchEnv = "CROSSROOT_TEST_SCRATCH"

func TestMain(m *testing.M) {
	if spec := os.Getenv(scratchEnv); spec != "" {
		if err := runScratch(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if root := os.Getenv(killedEnv); root != "" {
		buildAndDie(root)
	}
	os.Exit(m.Run())
}

// run makes the root and runs the commands in it.
func (s scratch) run(t *testing.T) []ran {
	t.Helper()
	s.Dir = t.TempDir()
	spec, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "spec")
	if err := os.WriteFile(name, spec, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = []string{scratchEnv + "=" + name}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,

		GidMappingsEnableSetgroups: os.Geteuid() == 0,
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("scratch root: %v", err)
	}
	var results []ran
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatal(err)
	}
	return results
}

// runScratch is the inner half: pid 1 of the new namespaces.
func runScratch(spec string) error {
	b, err := os.ReadFile(spec)
	if err != nil {
		return err
	}
	var s scratch
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if err := s.mount(); err != nil {
		return err
	}
	results := make([]ran, len(s.Commands))
	for i, argv := range s.Commands {
		results[i] = traced(argv)
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

func (s scratch) mount() error {
	var errs []error
	do := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	at := func(name string) string { return filepath.Join(s.Dir, name) }
	do(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	do(unix.Mount("scratch", s.Dir, "tmpfs", 0, "mode=755"))
	for _, d := range []string{".cr/t", ".cr/exe", ".cr/perl", "dev", "etc", "proc", "root", "tmp", "run", "var/lib/dpkg", "usr/share"} {
		do(os.MkdirAll(at(d), 0o755))
	}
	do(unix.Mount("tools", at(".cr/t"), "overlay", unix.MS_RDONLY, "lowerdir="+s.Variant+":"+s.Base))
	do(unix.Mount("proc", at("proc"), "proc", unix.MS_RDONLY, ""))
	for _, d := range []string{"null", "zero", "urandom", "random"} {
		do(os.WriteFile(at("dev/"+d), nil, 0o600))
		do(unix.Mount("/dev/"+d, at("dev/"+d), "", unix.MS_BIND, ""))
	}
	for inside, host := range s.Binds {
		do(os.MkdirAll(at(inside), 0o755))
		do(unix.Mount(host, at(inside), "", unix.MS_BIND, ""))
	}
	for name, content := range s.Files {
		do(os.MkdirAll(at(path.Dir(name)), 0o755))
		do(os.WriteFile(at(name), []byte(content), 0o644))
	}
	for name, target := range s.Links {
		do(os.MkdirAll(at(path.Dir(name)), 0o755))
		do(os.Symlink(target, at(name)))
	}
	top, err := os.ReadDir(at(".cr/t"))
	do(err)
	for _, e := range top {
		do(os.Symlink("t/"+e.Name(), at(".cr/"+e.Name())))
	}
	do(os.Chdir(s.Dir))
	do(unix.PivotRoot(".", "."))
	do(unix.Unmount(".", unix.MNT_DETACH))
	do(os.Chdir("/"))
	return errors.Join(errs...)
}
