package ldconfig

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// report writes what the user sees. Standard output is buffered and flushed
// before anything goes to standard error, so that the order is kept.
type report struct {
	name   string
	stdout *bufio.Writer
	stderr io.Writer
}

func newReport(name string, stdout, stderr io.Writer) report {
	return report{name, bufio.NewWriter(stdout), stderr}
}

func (r report) flush() { r.stdout.Flush() }

func (r report) printf(format string, args ...any) { fmt.Fprintf(r.stdout, format, args...) }

// warn writes "name: text" or "name: text: reason" as error(3) does.
func (r report) warn(err error, format string, args ...any) {
	r.flush()
	text := r.name + ": " + fmt.Sprintf(format, args...)
	if err != nil {
		text += ": " + reason(err)
	}
	fmt.Fprintln(r.stderr, text)
}

// reason is what strerror says: Go has the same texts in lower case.
func reason(err error) string {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return err.Error()
	}
	s := number.Error()
	return strings.ToUpper(s[:1]) + s[1:]
}

// note writes a line without the name.
func (r report) note(format string, args ...any) {
	r.flush()
	fmt.Fprintf(r.stderr, format, args...)
}
