package repo

import (
	"errors"
	"fmt"
	"strings"

	"github.com/crossroot/crossroot/internal/fetch"
)

// Error is what is wrong with a repository.
type Error struct {
	Repository string // URL and suite, without a password; empty: with all of them
	File       string // in the repository; empty: none
	Kind       Kind
	Err        error
}

func (e *Error) Error() string {
	text := e.Err.Error()
	var download *fetch.Error
	if e.File != "" && errors.As(e.Err, &download) { // which says the URL once more
		text = strings.Replace(text, download.Error(), download.Message, 1)
	}
	if e.File != "" {
		text = e.File + ": " + text
	}
	if e.Repository != "" {
		text = e.Repository + ": " + text
	}
	if w := ways[e.Kind]; w != "" {
		text += "; " + w
	}
	return text
}
func (e *Error) Unwrap() error { return e.Err }

// Kind is a kind of trouble.
type Kind string

// The kinds.
const (
	NoSource    Kind = "no source"
	NoArch      Kind = "no architecture"
	NoSuite     Kind = "no suite"
	NoComponent Kind = "no component"
	Unreachable Kind = "unreachable"
	Unsigned    Kind = "unsigned"
	Forged      Kind = "forged"
	Expired     Kind = "expired"
	Future      Kind = "future"
	Rollback    Kind = "rollback"
	Malformed   Kind = "malformed"
	Disagree    Kind = "disagree" // what the Release file says of a file isn't what the server has
	NotCached   Kind = "not cached"
	Gone        Kind = "gone"
	Local       Kind = "local"
	NoHelper    Kind = "no helper" // crossroot-fetch is missing or fails
)

// ways are the ways out.
var ways = map[Kind]string{
	NoSource:    "name a source of this architecture's packages",
	NoArch:      "name a source that has them",
	NoSuite:     "check the suite's name and the repository's address",
	NoComponent: "check the components' names, or go on without it (crossroot tools twin --allow-partial)",
	Unreachable: "check the network and the proxy, or name another mirror",
	Unsigned:    "add the repository's key to the keyring, or allow unsigned repositories (crossroot tools twin --allow-unsigned)",
	Forged:      "don't use this mirror: somebody changed the file, or it is damaged; try another one",
	Expired:     "use a mirror that is up to date, or allow expired repositories (crossroot tools twin --allow-expired)",
	Future:      "set the clock",
	Rollback:    "use a mirror that is up to date",
	Malformed:   "use another mirror",
	Disagree:    "the mirror may be in the middle of an update: try again later or another mirror, or if it is an index, go on without it (crossroot tools twin --allow-partial)",
	NotCached:   "go online once",
	Gone:        "the mirror may be in the middle of an update: try again",
	Local:       "make room, or choose another cache directory",
	NoHelper:    "install crossroot-fetch beside crossroot or in PATH, or name it in CROSSROOT_FETCH",
}

// fetchKind tells what a failed download means.
func fetchKind(err error) Kind {
	var e *fetch.Error
	if !errors.As(err, &e) {
		return Unreachable
	}
	switch e.Cause {
	case fetch.NotFound:
		return Gone
	case fetch.WrongSize, fetch.WrongHash:
		return Disagree
	case fetch.Helper:
		return NoHelper
	case fetch.Local, fetch.BadJob:
		return Local
	}
	return Unreachable
}

// NotFoundError says that no repository has a package.
type NotFoundError struct{ Name, Arch string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no repository has package %s for %s", e.Name, e.Arch)
}
