package pid1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/elfimage"
)

// diagnose says why a file could not be executed, beyond the error number of execve(2).
func diagnose(file string, err error) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("execute %s: %s: %w", file, fmt.Sprintf(format, args...), err)
	}
	info, serr := os.Stat(file)
	if serr != nil {
		return &os.PathError{Op: "execute", Path: file, Err: err}
	}
	switch {
	case info.IsDir():
		return fail("it is a directory")
	case !info.Mode().IsRegular():
		return fail("it is not a regular file")
	case errors.Is(err, unix.EACCES) && unix.Access(file, unix.X_OK) != nil:
		return fail("it is not executable")
	}
	f, oerr := os.OpenFile(file, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if oerr != nil {
		return &os.PathError{Op: "execute", Path: file, Err: err}
	}
	defer f.Close()
	line, _ := bufio.NewReader(io.LimitReader(f, 256)).ReadBytes('\n')
	if bytes.HasPrefix(line, []byte("#!")) {
		interpreter, _, _ := strings.Cut(strings.TrimSpace(string(line[2:])), " ")
		if interpreter == "" {
			return fail("its first line names no interpreter")
		}
		return fail("its interpreter is %s", interpreter)
	}
	image, ierr := elfimage.Open(f, info.Size())
	switch {
	case errors.Is(ierr, elfimage.ErrMalformed):
		return fail("it is a damaged ELF file")
	case ierr != nil:
		return fail("it is neither an executable nor a script with an interpreter line")
	case errors.Is(err, unix.ENOENT) && image.Interp() != "":
		return fail("its loader is %s", image.Interp())
	}
	return fail("it is for a CPU that neither this machine nor the run's emulators know")
}
