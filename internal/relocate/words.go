package relocate

import (
	"bytes"
	"debug/elf"
	"fmt"
	"strings"

	"github.com/crossroot/crossroot/internal/elfimage"
)

// Word is a name that is compiled into a program: the CPU's, say. Where New has
// the length of Old it takes its place, otherwise see repoint.
type Word struct {
	Old, New string
	// Tail says that the word may be the tail of another string (linkers merge
	// strings so), and that other strings may be its tail: it is replaced by
	// repointing only, and only where something refers to it. Otherwise it is
	// replaced where it is a whole string, and in parentheses at the end of one:
	// "1.21.22 (amd64)".
	Tail bool
	// Module says that the word also stands in the ending of binary python
	// modules, ".cpython-311-WORD.so".
	Module bool
	// InCode says that the compiler may have turned a copy of it into
	// instructions, see inlinedWords.
	InCode bool
	// Count, when set, is increased by the number of places that were found.
	Count *int
}

// words applies the words. An error wraps ErrDoesNotFit.
func (e *editor) words(image *elfimage.Image, list []Word) error {
	for _, w := range list {
		places := e.wordPlaces(image, w)
		var inlined []inlined
		if w.InCode && image.Machine == elf.EM_X86_64 {
			inlined = e.inlinedWords(image, w.Old)
		}
		if w.Count != nil {
			*w.Count += len(places) + len(inlined)
		}
		if w.Old == w.New {
			continue
		}
		if len(inlined) > 0 && len(w.New) != len(w.Old) {
			return fmt.Errorf("word %q for %q in code: %w", w.New, w.Old, ErrDoesNotFit)
		}
		for _, p := range places {
			if err := e.replaceWord(image, p, w); err != nil {
				return err
			}
		}
		for _, in := range inlined {
			e.putInlined(in, w.New)
		}
	}
	return nil
}

// replaceWord replaces a word at one place. A shorter one moves what is behind
// it, which may be a string of its own: ")". So it takes the place of a longer
// one only when nothing is behind, and nothing is known to refer to it.
func (e *editor) replaceWord(image *elfimage.Image, p place, w Word) error {
	if !w.Tail {
		shorter := len(w.New) < len(w.Old) && p.after == "" && !e.referred(image, p.start)
		if shorter || len(w.New) == len(w.Old) {
			e.put(p.word, w.Old+p.after, w.New+p.after)
			return nil
		}
	}
	before := string(e.b[p.start:p.word])
	return e.repoint(image, p.start, before+w.New+p.after)
}

// place is where a word stands in a string.
type place struct {
	start int // of the string, in the file
	word  int // of the word
	after string
}

func (e *editor) wordPlaces(image *elfimage.Image, w Word) (places []place) {
	for _, part := range data(image, e.b) {
		for at := part.off; ; at++ {
			i := bytes.Index(e.b[at:part.end], []byte(w.Old))
			if i < 0 {
				break
			}
			at += i
			rest := e.b[at+len(w.Old) : part.end]
			switch whole := bytes.HasPrefix(rest, []byte{0}); {
			case w.Tail && whole && e.referred(image, at):
				places = append(places, place{at, at, ""})
			case w.Tail:
			case whole && e.startsString(part, at):
				places = append(places, place{at, at, ""})
			case at > part.off && e.b[at-1] == '(' && bytes.HasPrefix(rest, []byte(")\x00")):
				places = append(places, place{e.stringStart(part, at), at, ")"})
			case w.Module && bytes.HasPrefix(rest, []byte(".so\x00")):
				start := e.stringStart(part, at)
				if before := string(e.b[start:at]); strings.HasPrefix(before, ".cpython-") && strings.HasSuffix(before, "-") {
					places = append(places, place{start, at, ".so"})
				}
			}
		}
	}
	return places
}

// stringStart goes back to the start of the text around off.
func (e *editor) stringStart(part extent, off int) int {
	for !e.startsString(part, off) {
		off--
	}
	return off
}

// inlined is a word of five letters that two instructions store on the stack:
// the file offsets of the four letters and of the fifth.
type inlined struct{ four, fifth int }

// inlinedWords finds what gcc makes of std::string("amd64") on x86-64:
//
//	c7 44 24 D 61 6d 64 36	movl $"amd6", D(%rsp)
//	c6 44 24 D+4 34      	movb $'4', D+4(%rsp)
//
// within 32 bytes of each other. Nothing else in a program has both; that the
// four letters stand anywhere else in code is a reason to find nothing.
func (e *editor) inlinedWords(image *elfimage.Image, word string) (found []inlined) {
	if len(word) != 5 {
		return nil
	}
	const near = 32
	for _, part := range code(image, e.b) {
		b := e.b[part.off:part.end]
		for at := 0; ; at += 4 {
			i := bytes.Index(b[at:], []byte(word[:4]))
			if i < 0 {
				break
			}
			at += i
			if at < 4 || !bytes.Equal(b[at-4:at-1], []byte{0xc7, 0x44, 0x24}) || b[at-1] > 0x7b {
				return nil
			}
			store := []byte{0xc6, 0x44, 0x24, b[at-1] + 4, word[4]}
			j := bytes.Index(b[at+4:min(at+4+near, len(b))], store)
			if j < 0 {
				return nil
			}
			found = append(found, inlined{part.off + at, part.off + at + 4 + j + 4})
		}
	}
	return found
}

func (e *editor) putInlined(in inlined, word string) {
	e.put(in.four, string(e.b[in.four:in.four+4]), word[:4])
	e.put(in.fifth, string(e.b[in.fifth:in.fifth+1]), word[4:])
}
