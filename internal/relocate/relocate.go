// Package relocate rewrites a private copy of a native ELF file so that it
// opens its loader, libraries and modules in the hidden directory /.cr instead
// of /lib and /usr/lib.
//
// It is pure: bytes in, bytes and a list of changes out. It promises that no
// byte moves (what is written is never longer than what was there), that only
// whole paths in data are touched, never text that merely contains one, and
// that whatever a hostile file claims it neither panics nor writes outside the
// bytes it was given.
//
// It must not know which files are collected, where they lie, or which
// directories exist; the one it is given in Rules is a word to it.
package relocate

import (
	"bytes"
	"debug/elf"
	"fmt"

	"github.com/crossroot/crossroot/internal/elfimage"
)

// LoaderPath is the program interpreter that a relocated program asks for.
const LoaderPath = "/.cr/ld.so"

// Kind says what a file is, as far as other paths are meant by it.
type Kind int

const (
	Plain  Kind = iota // a program, library or module
	Loader             // the program interpreter (musl: also the C library)
	LibC               // glibc's libc.so.6
	Perl               // perl or libperl.so
	Python             // python, or libpython3.so
)

// Rules say what is rewritten.
type Rules struct {
	// LibDir is where the native system keeps its libraries: /usr/lib/<triplet>,
	// /usr/lib64 or /usr/lib.
	LibDir string
	Kind   Kind
	// Words are rewritten too: the name of the CPU in programs that have it
	// compiled in.
	Words []Word
}

// Change is one rewriting: at Offset of the file stood Old, now there is New,
// filled up with NUL. Old is empty where a text was put into unused bytes.
// Where Number is not 0, a little-endian number of so many bytes was replaced,
// and Old and New are its values in hexadecimal.
type Change struct {
	Offset int64  `json:"offset"`
	Old    string `json:"old"`
	New    string `json:"new"`
	Number int    `json:"number,omitempty"`
}

// Rewrite changes b, a whole ELF file, in place, and says what it changed, in
// the order of the file. An error wraps elfimage.ErrNotELF or
// ErrDoesNotFit; b is then to be thrown away.
func Rewrite(b []byte, rules Rules) ([]Change, error) {
	image, err := elfimage.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	e := &editor{b: b}
	if err := e.interpreter(image); err != nil {
		return nil, err
	}
	if err := e.runPaths(image, rules); err != nil {
		return nil, err
	}
	if rules.Kind == Python && image.Interp() != "" {
		if err := e.shim(image); err != nil {
			return nil, err
		}
	}
	static := image.Interp() == ""
	replacements := pathRules(rules, image.Interp())
	for _, part := range data(image, b) {
		if rules.Kind == Loader || static {
			e.systemDirectories(part, rules)
		}
		e.replace(part, replacements)
	}
	if err := e.words(image, rules.Words); err != nil {
		return nil, err
	}
	return e.sorted(), nil
}

// RewriteData is Rewrite for a file that is not ELF but holds strings that end
// with NUL, such as glibc's gconv-modules.cache.
func RewriteData(b []byte, rules Rules) []Change {
	e := &editor{b: b}
	e.replace(extent{0, len(b)}, pathRules(rules, ""))
	return e.sorted()
}

// interpreter rewrites PT_INTERP.
func (e *editor) interpreter(image *elfimage.Image) error {
	s, ok := image.Segment(elf.PT_INTERP)
	if !ok {
		return nil
	}
	if len(image.Interp()) < len(LoaderPath) {
		return fmt.Errorf("interpreter %q: %w", image.Interp(), ErrDoesNotFit)
	}
	e.put(int(s.Offset), image.Interp(), LoaderPath)
	return nil
}
