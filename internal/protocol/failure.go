package protocol

import (
	"errors"
	"syscall"
)

// Failure is an error of the run itself. Kind is stable, for hints and exit codes. It is an error value, so that the
// error number survives the way.
type Failure struct {
	Kind    string
	Message string
	Path    string        `json:",omitempty"`
	Changed bool          `json:",omitempty"`
	Errno   syscall.Errno `json:",omitempty"`
}

func (f *Failure) Error() string { return f.Message }

// Unwrap returns the error number, if there is one.
func (f *Failure) Unwrap() error {
	if f.Errno == 0 {
		return nil
	}
	return f.Errno
}

// Error is a failure with a stable kind, for hints and exit codes outside.
type Error struct {
	Kind    string
	Path    string
	Err     error
	Changed bool
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// FailureOf makes any error one that can be sent.
func FailureOf(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	f = &Failure{Kind: "internal", Message: err.Error()}
	errors.As(err, &f.Errno)
	var typed *Error
	if errors.As(err, &typed) {
		f.Kind, f.Path, f.Changed = typed.Kind, typed.Path, typed.Changed
	}
	return f
}
