package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/standin"
)

// Machines that lack something: `run` says so in one line with the way out and ends with 125, `doctor` finds it, gives
// the same way out, and ends with 1.
func TestPoorMachines(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	armhf, _ := arch.Lookup("armhf")
	if err := standin.Root(root, armhf, standin.Options{Packages: standin.HostPackages()}); err != nil {
		t.Fatal(err)
	}
	refuse := filepath.Join(t.TempDir(), "refuse")
	build := exec.Command("go", "build", "-o", refuse, "./testdata/refuse")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build refuse: %v\n%s", err, out)
	}
	lacking := func(number int, errno syscall.Errno) *exec.Cmd {
		return inside(fmt.Sprintf("exec %s %d %d $CROSSROOT", refuse, number, errno))
	}
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	if err := os.Mkdir(nowhere, 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		cmd      *exec.Cmd
		run      string // in the message of run
		doctor   string // in what doctor prints
		remedy   string // in both
		rootOnly bool
	}{
		{name: "no user namespaces", cmd: forbidden(), run: "make namespaces", doctor: "fail namespaces",
			remedy: "the sysctl user.max_user_namespaces is 0: as root, sysctl -w user.max_user_namespaces=10000"},
		{name: "a user without subordinate ids", cmd: command("unshare", "-U", "sh", "-c", "exec $CROSSROOT"),
			run: "no subordinate id range: /etc/subuid has none for", doctor: "fail ids", remedy: "as root: usermod --add-subuids "},
		{name: "root of a container with one id", cmd: command("unshare", "-Urm", "sh", "-c", "exec $CROSSROOT"),
			run: "too few ids: root of this container has 1, 65536 are needed", doctor: "fail ids", remedy: "start the container with 65536 ids for its root"},
		{name: "covered /proc", cmd: inside("mount -t tmpfs none /proc/sys/fs && exec $CROSSROOT"),
			run: "a new /proc is refused", doctor: "fail /proc", remedy: "/proc/sys/fs is covered by a mount, as in a container"},
		{name: "read-only /proc", cmd: inside("mount -o remount,bind,ro /proc && exec $CROSSROOT"), rootOnly: true,
			run: "write id map", doctor: "fail ids", remedy: "/proc is mounted read-only, as in a container"},
		{name: "root without rights", cmd: command("setpriv", "--bounding-set", "-sys_admin", "sh", "-c", "exec $CROSSROOT"), rootOnly: true,
			run: "operation not permitted", doctor: "fail mounts", remedy: "root here lacks CAP_SYS_ADMIN, as in a container"},
		{name: "cache on a noexec mount", cmd: inside("mount -t tmpfs -o noexec,mode=700 none " + nowhere + " && export CROSSROOT_CACHE=" + nowhere + " && exec $CROSSROOT"),
			run: "permission denied", doctor: "fail cache", remedy: "on a mount without noexec"},
		{name: "no openat2", cmd: lacking(unix.SYS_OPENAT2, unix.ENOSYS), run: "function not implemented", doctor: "no openat2 (Linux 5.6)",
			remedy: "Linux 6.7"},
		{name: "no open_tree", cmd: lacking(unix.SYS_OPEN_TREE, unix.ENOSYS), run: "function not implemented", doctor: "no open_tree (Linux 5.2)",
			remedy: "Linux 6.7"},
		{name: "no fsopen", cmd: lacking(unix.SYS_FSOPEN, unix.ENOSYS), run: "function not implemented", doctor: "fail mounts", remedy: "Linux 6.7"},
		{name: "no close_range", cmd: lacking(unix.SYS_CLOSE_RANGE, unix.ENOSYS), run: "function not implemented", doctor: "no close_range",
			remedy: "Linux 6.7"},
		{name: "mounts refused", cmd: lacking(unix.SYS_FSOPEN, unix.EPERM), run: "operation not permitted", doctor: "fail mounts",
			remedy: "a seccomp filter is on this process, as in a container"},
		{name: "no pidfd_getfd", cmd: lacking(unix.SYS_PIDFD_GETFD, unix.ENOSYS), run: "", doctor: "fail kernel", remedy: "Linux 6.7"},
	}
	for _, tt := range tests {
		if tt.rootOnly && os.Getuid() != 0 {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			if tt.run != "" {
				_, stderr, code := on(t, tt.cmd, "run", "--keep", "never", root, "true")
				line := strings.TrimSuffix(stderr, "\n")
				if code != 125 || !strings.HasPrefix(line, "crossroot: ") || strings.Contains(line, "\n") {
					t.Errorf("run ended with %d and said %q", code, stderr)
				}
				if !strings.Contains(line, tt.run) || !strings.Contains(line, tt.remedy) {
					t.Errorf("run said %q, not %q and %q", line, tt.run, tt.remedy)
				}
			}
			stdout, stderr, code := on(t, tt.cmd, "doctor")
			if code != 1 || stderr != "" {
				t.Errorf("doctor ended with %d and said %q", code, stderr)
			}
			if !strings.Contains(stdout, tt.doctor) || !strings.Contains(stdout, tt.remedy) {
				t.Errorf("doctor found, not %q and %q:\n%s", tt.doctor, tt.remedy, stdout)
			}
		})
	}
}

// inside runs a script with rights over a mount namespace of its own: as root, or as a user's root of a user namespace.
func inside(script string) *exec.Cmd {
	if os.Getuid() == 0 {
		return command("unshare", "-m", "sh", "-c", script)
	}
	return command("unshare", "-Urm", "--map-auto", "sh", "-c", script)
}

func command(name string, args ...string) *exec.Cmd { return exec.Command(name, args...) }

// forbidden is in a user namespace with all the ids, or the user's own one, that has no namespaces below it.
func forbidden() *exec.Cmd {
	c := command("sh", "-c", "echo 0 >/proc/sys/user/max_user_namespaces && exec $CROSSROOT")
	id, size := os.Getuid(), 1
	if id == 0 {
		size = 65536
	}
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: size}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: size}},
		AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE},
	}
	return c
}

// on runs crossroot in the environment that the command makes.
func on(t *testing.T, env *exec.Cmd, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := exec.Command(env.Path, env.Args[1:]...)
	last := &c.Args[len(c.Args)-1]
	*last = strings.ReplaceAll(*last, "$CROSSROOT", filepath.Join(shared, "bin", "crossroot")+" "+strings.Join(args, " "))
	c.SysProcAttr = env.SysProcAttr
	c.Env = append(os.Environ(), "CROSSROOT_CACHE="+filepath.Join(shared, "cache"), "LC_ALL=C", "HOME="+shared)
	c.Dir = "/"
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}
