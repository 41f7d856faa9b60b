// Package doctor finds out what this kernel, user and machine can do for a run, and what in a root will cause trouble,
// and says for each gap what to do about it.
//
// It promises to find out by trying, never by version numbers, with the very calls that a run makes; to change
// nothing, neither on the machine nor in ROOT; and to open nothing in ROOT that could block or act. What was found out
// (Facts) and what it means (the functions from Facts to findings) are separate: the latter are pure.
//
// It must not know the command line's looks, and nothing of dispatch but what a session tells it.
package doctor

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Level is how bad a finding is.
type Level string

// The levels. Only Fail means that `run` doesn't work.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
)

// Finding is the result of one check: one line for the user, and the way out when something is wrong. Names from a root
// are quoted where they aren't plain text.
type Finding struct {
	Name   string `json:"name"`
	Level  Level  `json:"level"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

// Works reports whether nothing that is needed is missing.
func Works(findings []Finding) bool {
	for _, f := range findings {
		if f.Level == Fail {
			return false
		}
	}
	return true
}

// quote makes a path from a root fit for a message: as it is when it is plain text, else as a Go string.
func quote(path string) string {
	if !utf8.ValidString(path) {
		return strconv.QuoteToGraphic(path)
	}
	for _, r := range path {
		if !unicode.IsPrint(r) {
			return strconv.QuoteToGraphic(path)
		}
	}
	return path
}
