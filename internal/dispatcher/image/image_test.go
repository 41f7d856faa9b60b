package image

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// write makes the dispatcher out of the test binary and returns its path.
func write(t *testing.T) string {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	path := filepath.Join(t.TempDir(), "entry")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := Write(out, self); err != nil {
		t.Fatal(err)
	}
	return path
}

// Executed by its own name the image goes through the freestanding entry and then is the ordinary program, with its
// arguments and environment, whatever their size.
func TestImageIsTheProgramItself(t *testing.T) {
	if os.Getenv("IMAGE_TEST") != "" {
		os.Stdout.WriteString(strings.Join(os.Args[1:], " ") + " " + os.Getenv("IMAGE_TEST"))
		os.Exit(42)
	}
	entry := write(t)
	for _, long := range []int{1, 100000} {
		cmd := command(entry, "-test.run=TestImageIsTheProgramItself")
		cmd.Env = append(os.Environ(), "IMAGE_TEST="+strings.Repeat("x", long))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 42 {
			t.Fatalf("%v, want exit 42; output %q", err, out)
		}
		if want := "-test.run=TestImageIsTheProgramItself " + strings.Repeat("x", long); string(out) != want {
			t.Errorf("%d bytes of output, want %d", len(out), len(want))
		}
	}
}

// emulatorVariable names the emulator that runs the image: set when the test binary itself is emulated.
const emulatorVariable = "CROSSROOT_TEST_EMULATOR"

func command(name string, args ...string) *exec.Cmd {
	if emulator := os.Getenv(emulatorVariable); emulator != "" {
		return exec.Command(emulator, append([]string{name}, args...)...)
	}
	return exec.Command(name, args...)
}

// The entry for arm64 hosts, under emulation. Only binfmt_misc hands the dispatcher an executable, so that what an
// emulator can show is the way in and on to the ordinary program.
func TestImageOnARM64(t *testing.T) {
	if runtime.GOARCH == "arm64" {
		return
	}
	const emulator = "qemu-aarch64-static"
	if _, err := exec.LookPath(emulator); err != nil {
		t.Skipf("%s is missing (package qemu-user-static)", emulator)
	}
	binary := filepath.Join(t.TempDir(), "image.test")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for arm64: %v\n%s", err, out)
	}
	cmd := exec.Command(emulator, binary, "-test.run=TestImageIsTheProgramItself", "-test.v")
	cmd.Env = append(os.Environ(), emulatorVariable+"="+emulator)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestImageIsTheProgramItself") {
		t.Fatalf("%v\n%s", err, out)
	}
}
