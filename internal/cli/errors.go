package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/crossroot/crossroot/internal/doctor"
	"github.com/crossroot/crossroot/internal/session"
)

// hints say the way out of each kind of failure; where it depends on the machine, doctor.Advice comes first.
var hints = map[session.Kind]string{
	session.KindNotRoot:    "give the directory that holds the root file system's bin, lib and usr",
	session.KindArch:       "crossroot knows the CPUs that qemu's user mode knows",
	session.KindBusy:       "try again later, or wait for it with --wait",
	session.KindUserns:     more,
	session.KindRights:     more,
	session.KindProc:       more,
	session.KindOwner:      "run crossroot as root, or make the root anew as this user",
	session.KindMountpoint: "move it away: crossroot puts the run's own there",
	session.KindPolicy:     "crossroot-policy(5) describes the file",
	session.KindState:      "set CROSSROOT_CACHE to a directory of your own for the cache",
	session.KindTwin:       "--tools host uses this machine's programs",
	session.KindEmulator:   "give an emulator of qemu's user mode, such as qemu-ARCH-static of the package qemu-user-static",
	session.KindFull:       "make room, or choose another place with --spool memory or --spool disk",
	session.KindSpool:      "choose another place with --spool memory or --spool disk",
	session.KindReadOnly:   "use --keep never to run without keeping changes",
	session.KindInspect:    "nothing was changed; --keep never runs without a commit",
}

const more = "crossroot doctor says what is missing here"

// hint is the way out of a failure, "" where there is none.
func hint(failed *session.Error) string {
	if text := doctor.Advice(failed.Kind, failed.Err, doctor.ReadEnvironment()); text != "" {
		return text
	}
	if failed.Kind == session.KindTools && errors.Is(failed.Err, syscall.ENOSPC) {
		return "make room, or name another directory for the cache with CROSSROOT_CACHE"
	}
	return hints[failed.Kind]
}

// message is the text of an error with its way out, on one line, without control characters.
func message(err error) string {
	text := clean(err.Error())
	var usage usageError
	if errors.As(err, &usage) {
		return text
	}
	var failed *session.Error
	if errors.As(err, &failed) {
		if hint := hint(failed); hint != "" {
			text += ": " + hint
		}
		if failed.Changed {
			text += " (ROOT may have been changed in part)"
		}
	}
	return text
}

// clean makes a text from a root or a file safe for a terminal: one line, no control characters.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "�")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || (r >= 0x7f && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069):
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
}

// report prints an error: a line for people, or an object for machines.
func report(e *env, v verb, args []string, err error) {
	var usage usageError
	text := message(err)
	if errors.As(err, &usage) {
		text = v.name + ": " + text
	}
	if i := slices.Index(args, "--json"); i >= 0 && !slices.Contains(args[:i], "--") {
		line, _ := json.Marshal(map[string]string{"event": "error", "kind": kind(err), "message": text})
		fmt.Fprintf(e.stderr, "%s\n", line)
		return
	}
	fmt.Fprintf(e.stderr, "crossroot: %s\n", text)
	if usage.text != "" {
		fmt.Fprintf(e.stderr, "usage: crossroot %s (crossroot help %s lists the options)\n", v.usage, v.name)
	}
}

// kind classes an error for machines.
func kind(err error) string {
	var usage usageError
	var failed *session.Error
	switch {
	case errors.As(err, &usage):
		return "usage"
	case errors.As(err, &failed):
		return string(failed.Kind)
	}
	return string(session.KindInternal)
}
