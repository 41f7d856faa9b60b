package wrap

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	// What the built crossroot is made of: a change there makes go test forget its cached result.
	_ "github.com/crossroot/crossroot/internal/cli"
	_ "github.com/crossroot/crossroot/internal/entry"
	_ "github.com/crossroot/crossroot/internal/keeper"
)

// TestMain builds what is tested, then tests in processes of its own: in a private mount namespace and, as root, also as
// an ordinary user.
func TestMain(m *testing.M) {
	if os.Getenv(envDir) != "" {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // PDEATHSIG is the thread's
	code, err := stage()
	if err != nil {
		fmt.Fprintln(os.Stderr, "prepare the tests:", err)
		code = 1
	}
	os.Exit(code)
}

func stage() (int, error) {
	dir, err := os.MkdirTemp("", "crossroot-wrap-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	if err := errors.Join(os.Chmod(dir, 0o755), build(dir), copyFile(self, filepath.Join(dir, "test"))); err != nil {
		return 1, err
	}
	code, err := testAs(dir, nil)
	if name := os.Getenv(envUser); err == nil && isRoot() && name != "" {
		var u *user.User
		if u, err = user.Lookup(name); err != nil {
			return 1, err
		}
		fmt.Printf("--- as user %s\n", name)
		var again int
		again, err = testAs(dir, u)
		code = max(code, again)
	}
	return code, err
}

// build makes crossroot, and the probe for the host's CPU and for a foreign one.
func build(dir string) error {
	for _, b := range []struct{ pkg, out, arch string }{
		{"github.com/crossroot/crossroot/cmd/crossroot", "crossroot", runtime.GOARCH},
		{"github.com/crossroot/crossroot/test/wrap/probe", "probe", runtime.GOARCH},
		{"github.com/crossroot/crossroot/test/wrap/probe", "foreign", "arm"},
	} {
		c := exec.Command("go", "build", "-o", filepath.Join(dir, b.out), b.pkg)
		c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARM=7", "GOARCH="+b.arch)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", b.pkg, err, out)
		}
	}
	return nil
}

// testAs runs this test program as u (nil: whoever we are) in a working directory of its own.
func testAs(dir string, u *user.User) (int, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if isRoot() {
		attr.Unshareflags = syscall.CLONE_NEWNS // os/exec makes the mounts private
	}
	work, home := filepath.Join(dir, "self"), ""
	if u != nil {
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return 1, err
		}
		work, home = filepath.Join(dir, "user"), u.HomeDir
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: []uint32{uint32(gid)}}
	}
	if err := os.Mkdir(work, 0o755); err != nil {
		return 1, err
	}
	c := exec.Command(filepath.Join(dir, "test"))
	for _, a := range os.Args[1:] {
		// Files of the go command, which belong to this process.
		if !strings.HasPrefix(a, "-test.testlogfile") && !strings.HasPrefix(a, "-test.coverprofile") && !strings.HasPrefix(a, "-test.gocoverdir") {
			c.Args = append(c.Args, a)
		}
	}
	c.Dir, c.Stdout, c.Stderr, c.SysProcAttr = work, os.Stdout, os.Stderr, attr
	c.Env = append(os.Environ(), envDir+"="+dir, "TMPDIR="+work, "CROSSROOT_CACHE="+filepath.Join(work, "cache"), "CROSSROOT_TOOLS=host",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8")
	if u != nil {
		if err := os.Chown(work, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
			return 1, err
		}
		c.Env = append(c.Env, "HOME="+home, "USER="+u.Username, "LOGNAME="+u.Username)
	}
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(1, exit.ExitCode()), nil
	}
	return 0, err
}
