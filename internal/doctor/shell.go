package doctor

import (
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/session"
)

// ShellFact is what /bin/sh of a root is.
type ShellFact struct {
	Err         error  // it can't be used: why
	Missing     bool   // there is none at all
	Interpreter string // the script's interpreter that the error is about
	Loader      string // the executable's loader, when that isn't there
}

// What is wrong with a shell.
var (
	errEmpty      = errors.New("is empty")
	errNotExec    = errors.New("is not executable")
	errSelf       = errors.New("is a script that is interpreted by itself")
	errNoFormat   = errors.New("is neither an executable nor a script with an interpreter line")
	errWrongArch  = errors.New("is an executable for another CPU than the rest of the root")
	errManyLevels = errors.New("is a script of a script of a script…")
	errIrregular  = errors.New("is not a file")
)

// maxInterpreters is the kernel's limit for scripts that interpret scripts.
const maxInterpreters = 5

// shell follows /bin/sh as the kernel would execute it.
func shell(root *session.Root) ShellFact {
	file := "/bin/sh"
	seen := map[string]bool{}
	for range maxInterpreters {
		if seen[file] {
			return ShellFact{Err: errSelf, Interpreter: file}
		}
		seen[file] = true
		next, loader, err := executable(root, file)
		switch {
		case errors.Is(err, unix.ENOENT) && file == "/bin/sh":
			_, lerr := fd.Lstat(root.Dir, file)
			return ShellFact{Err: err, Missing: lerr != nil}
		case err != nil:
			return ShellFact{Err: err, Interpreter: file}
		case next != "":
			file = path.Clean("/" + next)
			continue
		case loader != "":
			l, err := fd.Open(root.Dir, loader, unix.O_PATH, 0)
			if err != nil {
				return ShellFact{Loader: loader}
			}
			l.Close()
		}
		return ShellFact{}
	}
	return ShellFact{Err: errManyLevels, Interpreter: file}
}

// executable looks at one file: next is the interpreter of a script, loader that of an executable.
func executable(root *session.Root, name string) (next, loader string, err error) {
	f, err := fd.OpenRegular(root.Dir, name)
	if errors.Is(err, fd.ErrNotRegular) {
		return "", "", errIrregular
	}
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", "", err
	case info.Mode().Perm()&0o111 == 0:
		return "", "", errNotExec
	case info.Size() == 0:
		return "", "", errEmpty
	}
	line := make([]byte, 256)
	n, _ := f.ReadAt(line, 0)
	if text, ok := strings.CutPrefix(string(line[:n]), "#!"); ok {
		text, _, _ = strings.Cut(text, "\n")
		if words := strings.Fields(text); len(words) > 0 {
			return words[0], "", nil
		}
		return "", "", errNoFormat
	}
	image, err := elfimage.Open(f, info.Size())
	if err != nil {
		return "", "", errNoFormat
	}
	a, ok := arch.IdentifyProgram(image.Header, image.Interp())
	if !ok || (a.Name != root.Arch.Name && !a.RunsNativelyOn(root.Arch)) {
		return "", "", errWrongArch
	}
	return "", image.Interp(), nil
}
