package transaction

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// The tests mount real overlays, so TestMain runs the whole test binary again in a user and mount namespace of its
// own: with the ids 0 to 65535 as root, with one id as an ordinary user.
const inside = "CROSSROOT_TEST_NAMESPACE"

func TestMain(m *testing.M) {
	switch os.Getenv(inside) {
	case "":
		os.Exit(reexec())
	}
	os.Exit(m.Run())
}

func reexec() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=yes")
	ids := 1
	if os.Getuid() == 0 {
		ids = 65536
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: ids}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: ids}},
		Pdeathsig:   syscall.SIGKILL,
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return 1
	}
	fmt.Fprintln(os.Stderr, "re-execute the test in a user namespace:", err)
	return 1
}

// manyIDs says whether files can have owners other than 0.
func manyIDs() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	var in, out, n int
	fmt.Sscan(string(data), &in, &out, &n)
	return err == nil && n > 1
}
