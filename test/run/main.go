// Command run runs the tests for `make test`: go test, with what matters on the screen (a line for each package, the
// output of what failed, what was skipped and why) and a line of sums at the end. It promises to end with 0 only if
// tests ran and none failed; with -strict a skipped test is a failure too. It knows nothing of the tests themselves.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() {
	strict := flag.Bool("strict", false, "a skipped test is a failure")
	timeout := flag.Duration("timeout", 20*time.Minute, "for each package")
	pattern := flag.String("run", "", "only tests that match this `PATTERN`")
	flag.Parse()
	packages := flag.Args()
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	args := append([]string{"test", "-json", "-count=1", "-timeout=" + timeout.String(), "-run=" + *pattern}, packages...)
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		fatal(err)
	}
	if err := cmd.Start(); err != nil {
		fatal(err)
	}
	s := &summary{w: os.Stdout, output: map[string][]string{}}
	if err := s.read(out); err != nil {
		fatal(err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fatal(err)
	}
	os.Exit(s.finish(err != nil, *strict))
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "run tests:", err)
	os.Exit(2)
}

// event is one line of `go test -json` (go doc test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string // of build events
	Test       string
	Output     string
}

// summary counts tests: those without subtests of their own, so that a table's rows count and the table doesn't.
type summary struct {
	w                       io.Writer
	output                  map[string][]string // of tests under way, by package and test
	parents                 map[string]bool
	broken                  map[string]bool // packages
	passed, failed, skipped int
	reasons                 []string // of skips
}

func (s *summary) read(r io.Reader) error {
	s.parents, s.broken = map[string]bool{}, map[string]bool{}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				s.event(e)
			} else {
				fmt.Fprintf(s.w, "%s", line) // go itself has something to say
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) event(e event) {
	importPath, _, _ := strings.Cut(e.ImportPath, " ") // of a variant: a [a.test]
	name := cmp.Or(e.Package, importPath)
	key := name + " " + e.Test
	switch e.Action {
	case "run":
		if i := strings.LastIndex(e.Test, "/"); i >= 0 {
			s.parents[name+" "+e.Test[:i]] = true
		}
	case "output", "build-output":
		if e.Test == "" && strings.HasPrefix(e.Output, "ok  \t") || strings.HasPrefix(e.Output, "FAIL\t") {
			fmt.Fprint(s.w, e.Output)
			return
		}
		s.output[key] = append(s.output[key], e.Output)
	case "pass":
		if e.Test != "" && !s.parents[key] {
			s.passed++
		}
		delete(s.output, key)
	case "skip":
		if e.Test != "" {
			s.skipped++
			s.reasons = append(s.reasons, fmt.Sprintf("%s: %s", key, reason(s.output[key])))
		}
		delete(s.output, key)
	case "fail", "build-fail":
		// A package fails with a test of it, or by itself: not built, or ended by its TestMain.
		if e.Test != "" && !s.parents[key] || e.Test == "" && !s.broken[name] {
			s.failed++
		}
		s.broken[name] = true
		fmt.Fprint(s.w, strings.Join(s.output[key], ""))
		delete(s.output, key)
	}
}

// reason is the text that a skipped test gave.
func reason(output []string) string {
	var words []string
	for _, o := range output {
		if !strings.HasPrefix(o, "=== ") && !strings.HasPrefix(strings.TrimSpace(o), "--- ") {
			words = append(words, strings.TrimSpace(o))
		}
	}
	return strings.Join(words, " ")
}

// finish prints the sums in the form that tools which read test logs know, and returns the exit status.
func (s *summary) finish(failed, strict bool) int {
	for key, lines := range s.output { // what was cut off
		if failed && strings.TrimSpace(strings.Join(lines, "")) != "" {
			fmt.Fprintf(s.w, "%s:\n%s", key, strings.Join(lines, ""))
		}
	}
	for _, r := range s.reasons {
		fmt.Fprintln(s.w, "SKIP", r)
	}
	code := 0
	switch {
	case failed || s.failed > 0:
		s.failed, code = max(s.failed, 1), 1
	case s.skipped > 0 && strict:
		fmt.Fprintln(s.w, "FAIL: tests were skipped, and none may be")
		code = 1
	case s.passed == 0:
		fmt.Fprintln(s.w, "FAIL: no test ran")
		code = 1
	}
	fmt.Fprintf(s.w, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	return code
}
