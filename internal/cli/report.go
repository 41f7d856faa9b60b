package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
)

// runReport is what --report writes. Names that aren't UTF-8 appear escaped as \xNN, and so does a backslash in them.
type runReport struct {
	Root      string         `json:"root"`
	Arch      string         `json:"arch"`
	Tools     string         `json:"tools,omitempty"` // where the native programs came from
	Command   []string       `json:"command"`
	Exit      *protocol.Exit `json:"exit,omitempty"`
	Error     *reportError   `json:"error,omitempty"` // crossroot itself failed; there is no Exit then
	TimedOut  bool           `json:"timed_out,omitempty"`
	Committed bool           `json:"committed"`
	Seconds   float64        `json:"seconds"`
	protocol.Report
}

type reportError struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

// reportFile is opened before the run: a report that can't be written must not cost a run. A nil one writes nothing.
type reportFile struct{ f *os.File }

func createReport(name string) (*reportFile, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	return &reportFile{f}, nil
}

// write writes the report of a run, or of its failure, and closes the file.
func (r *reportFile) write(root *session.Root, command []string, result *session.Result, failure error) error {
	if r == nil {
		return nil
	}
	report := runReport{Root: quoteBytes(root.Name), Arch: root.Arch.Name, Command: quoteAll(command), Report: quoted(protocol.Report{})}
	if failure != nil {
		report.Error = &reportError{kind(failure), message(failure)}
	}
	if result != nil {
		report.Exit, report.TimedOut, report.Committed = &result.Exit, result.TimedOut, result.Committed
		report.Tools = quoteBytes(result.Tools)
		report.Seconds, report.Report = result.Duration.Seconds(), quoted(*result.Report)
	}
	return r.encode(report)
}

// encode writes the report and closes the file.
func (r *reportFile) encode(report any) error {
	encoder := json.NewEncoder(r.f)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := errors.Join(encoder.Encode(report), r.f.Close()); err != nil {
		return fmt.Errorf("write report %s: %w", r.f.Name(), err)
	}
	return nil
}

// quoted makes every name of a report valid UTF-8; the original stays as it was.
func quoted(r protocol.Report) protocol.Report {
	programs := make([]protocol.Program, len(r.Programs))
	for i, p := range r.Programs {
		p.Path, p.Applet, p.Calls = quoteBytes(p.Path), quoteBytes(p.Applet), quoteAll(p.Calls)
		programs[i] = p
	}
	changes := make([]protocol.Change, len(r.Changes))
	for i, c := range r.Changes {
		c.Path = quoteBytes(c.Path)
		changes[i] = c
	}
	r.Programs, r.Changes = programs, changes
	r.Scripts, r.Nodes = quoteAll(r.Scripts), quoteAll(r.Nodes)
	return r
}

func quoteAll(words []string) []string {
	if words == nil {
		return nil
	}
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = quoteBytes(w)
	}
	return out
}
