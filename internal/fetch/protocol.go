// Package fetch gets files: by crossroot-fetch, a program of its own, what is on the network; by itself what is on this
// machine (file:). crossroot's own executable must stay static and knows no network.
//
// It promises that a job whose size and SHA256 are given ends with exactly that file or with an error, in bounded time
// and space, whatever the server does. It must not know what the files are for.
package fetch

import "fmt"

// Job is a file to get. As JSON, one a line, it is what crossroot-fetch reads.
type Job struct {
	ID     int    `json:"id"`
	URL    string `json:"url"`
	Path   string `json:"path"`             // written to; what is there already is continued with Resume, else replaced
	Size   int64  `json:"size"`             // bytes, -1: unknown
	Max    int64  `json:"max,omitempty"`    // bytes, when Size is unknown
	SHA256 string `json:"sha256,omitempty"` // 64 lower-case hexadecimal digits; empty: unknown
	Resume bool   `json:"resume,omitempty"` // needs SHA256

	ETag     string `json:"etag,omitempty"`     // of the copy that the caller has: then NotModified may be the answer
	Modified string `json:"modified,omitempty"` // its time, as the server wrote it
}

// Event is what crossroot-fetch says of a job, as JSON, one a line.
type Event struct {
	ID          int    `json:"id"`
	Kind        Kind   `json:"kind"`
	Bytes       int64  `json:"bytes,omitempty"` // of the file so far
	SHA256      string `json:"sha256,omitempty"`
	ETag        string `json:"etag,omitempty"`
	Modified    string `json:"modified,omitempty"`
	NotModified bool   `json:"notModified,omitempty"`
	Cause       Cause  `json:"cause,omitempty"`
	Message     string `json:"message,omitempty"`
}

// Kind is the kind of an event.
type Kind string

// The kinds; each job ends with one of the last two.
const (
	Progress Kind = "progress"
	Done     Kind = "done"
	Failed   Kind = "failed"
)

// Cause is why a job failed, as far as callers do different things about it.
type Cause string

// The causes.
const (
	BadJob      Cause = "job"         // the job makes no sense
	NotFound    Cause = "not-found"   // 404, 410, no such file
	Refused     Cause = "refused"     // 401, 403, 407
	Status      Cause = "status"      // any other status
	Unreachable Cause = "unreachable" // name, connection, TLS
	Timeout     Cause = "timeout"     // nothing came for too long, or too little in all
	Cut         Cause = "cut"         // ended before it was complete
	WrongSize   Cause = "size"        // larger or smaller than it must be
	WrongHash   Cause = "hash"        // not what it must be
	Redirect    Cause = "redirect"    // to somewhere it must not lead, or in circles
	Local       Cause = "local"       // could not be written here
	Helper      Cause = "helper"      // crossroot-fetch itself is missing or failed
)

// Error is why a job failed.
type Error struct {
	URL     string // without a password
	Cause   Cause
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("get %s: %s", e.URL, e.Message) }

// Result is how a job ended.
type Result struct {
	Bytes       int64
	SHA256      string
	ETag        string // of the server, for the next time
	Modified    string
	NotModified bool  // the caller's copy is still right; Path wasn't written
	Err         error // nil, *Error, or the context's
}
