package relocate

import (
	"bytes"
	"debug/elf"
	"fmt"

	"github.com/crossroot/crossroot/internal/elfimage"
)

// Word is a name that is compiled into a program: the CPU's, say.
//
// It is rewritten where it is a whole string, where it stands in parentheses
// in a string ("1.21.22 (amd64)"), and, if InCode is set, where the compiler
// turned a copy of it into instructions, see inline.
type Word struct {
	Old, New string
	InCode   bool
	Count    *int // when set: how many places were rewritten is added
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
		if len(places) > 0 && len(w.New) > len(w.Old) || len(inlined) > 0 && len(w.New) != len(w.Old) {
			return fmt.Errorf("word %q for %q: %w", w.New, w.Old, ErrDoesNotFit)
		}
		for _, p := range places {
			e.put(p.off, w.Old+p.after, w.New+p.after)
		}
		for _, in := range inlined {
			e.putInlined(in, w.New)
		}
	}
	return nil
}

// place is where a word stands, with the text behind it that moves with it.
type place struct {
	off   int
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
			end := at + len(w.Old)
			rest := e.b[end:part.end]
			if e.startsString(part, at) && bytes.HasPrefix(rest, []byte{0}) {
				places = append(places, place{at, ""})
			} else if at > part.off && e.b[at-1] == '(' && bytes.HasPrefix(rest, []byte(")\x00")) {
				places = append(places, place{at, ")"})
			}
		}
	}
	return places
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
