package image

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
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
		cmd := exec.Command(entry, "-test.run=TestImageIsTheProgramItself")
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
