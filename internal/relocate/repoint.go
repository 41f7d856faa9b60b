package relocate

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"

	"github.com/crossroot/crossroot/internal/elfimage"
)

// A text that is too long for the place of the old one is put behind the last
// byte of the read-only segment, where the file has zeros up to the end of the
// page and the kernel maps them; whatever refers to the old text is made to
// refer to the new one. A reference is either a pointer in initialised data (a
// relocation that adds the load address to the text's, or, in a program with a
// fixed address, that address), or on x86-64 an instruction that computes its
// address (lea text(%rip), %reg; where addresses are fixed, mov $text, %reg).
// That a pointer, or the 32-bit number in something that reads as such an
// instruction, is exactly that of the text by chance is not to be feared; that
// a reference is of another kind and is overlooked is: a text without any
// reference is not replaced, and see Word for what callers must know.

// repoint makes references to the string at off refer to text.
func (e *editor) repoint(image *elfimage.Image, off int, text string) error {
	if image.Class != elf.ELFCLASS64 || image.Data != elf.ELFDATA2LSB {
		return fmt.Errorf("%q: %w", text, ErrDoesNotFit)
	}
	old, ok := address(image, uint64(off))
	if !ok {
		return fmt.Errorf("%q: %w", text, ErrDoesNotFit)
	}
	refs, err := e.references(image, old)
	if err != nil {
		return err
	}
	if len(refs) == 0 {
		return fmt.Errorf("%q: nothing refers to the old text: %w", text, ErrDoesNotFit)
	}
	fresh, err := e.append(image, text)
	if err != nil {
		return err
	}
	for _, r := range refs {
		e.putNumber(r.off, r.size, fresh-r.base)
	}
	return nil
}

// referred says whether anything refers to the string at off.
func (e *editor) referred(image *elfimage.Image, off int) bool {
	at, ok := address(image, uint64(off))
	if !ok {
		return false
	}
	refs, err := e.references(image, at)
	return err == nil && len(refs) > 0
}

// reference is a number in the file: the address of something, less base.
type reference struct {
	off, size int
	base      uint64
}

func (e *editor) references(image *elfimage.Image, at uint64) ([]reference, error) {
	refs, err := e.pointers(image, at)
	if err != nil {
		return nil, err
	}
	fixed := image.Type == elf.ET_EXEC
	if fixed {
		refs = append(refs, e.fixedPointers(image, at)...)
	}
	if image.Machine == elf.EM_X86_64 {
		refs = append(refs, e.instructions(image, at)...)
		if fixed {
			refs = append(refs, e.fixedInstructions(image, at)...)
		}
	}
	return refs, nil
}

// fixedPointers finds addresses in data of a program with a fixed address.
func (e *editor) fixedPointers(image *elfimage.Image, at uint64) (refs []reference) {
	for _, part := range data(image, e.b) {
		for off := (part.off + 7) &^ 7; off+8 <= part.end; off += 8 {
			if e.word(off) == at {
				refs = append(refs, reference{off, 8, 0})
			}
		}
	}
	return refs
}

// fixedInstructions finds mov $address, %reg with a 32-bit register.
func (e *editor) fixedInstructions(image *elfimage.Image, at uint64) (refs []reference) {
	if at != uint64(int32(at)) {
		return nil
	}
	number := binary.LittleEndian.AppendUint32(nil, uint32(at))
	for _, part := range code(image, e.b) {
		b := e.b[part.off:part.end]
		for i := 1; i <= len(b)-len(number); i++ {
			j := bytes.Index(b[i:], number)
			if j < 0 {
				break
			}
			if i += j; b[i-1]&0xf8 == 0xb8 {
				refs = append(refs, reference{part.off + i, 4, 0})
			}
		}
	}
	return refs
}

// pointers finds relocations: entries of DT_RELA that are relative (System V
// ABI, "Relocation"), with what the linker may have put in their place, and the
// places of DT_RELR (generic ABI, "Relative relocation table").
func (e *editor) pointers(image *elfimage.Image, at uint64) (refs []reference, err error) {
	relative, ok := map[elf.Machine]uint32{
		elf.EM_X86_64: uint32(elf.R_X86_64_RELATIVE), elf.EM_AARCH64: uint32(elf.R_AARCH64_RELATIVE),
	}[image.Machine]
	if !ok {
		return nil, nil
	}
	entries, err := image.DynamicEntries()
	if err != nil {
		return nil, err
	}
	tag := map[elf.DynTag]uint64{}
	for _, d := range entries {
		tag[d.Tag] = d.Value
	}
	place := func(vaddr uint64) {
		if off, ok := image.FileOffset(vaddr); ok && off+8 <= uint64(len(e.b)) && e.word(int(off)) == at {
			refs = append(refs, reference{int(off), 8, 0})
		}
	}
	const relaSize = 24
	if table, ok := e.table(image, tag[elf.DT_RELA], tag[elf.DT_RELASZ]); ok {
		for off := table.off; off+relaSize <= table.end; off += relaSize {
			if binary.LittleEndian.Uint32(e.b[off+8:]) == relative && e.word(off+16) == at {
				refs = append(refs, reference{off + 16, 8, 0})
				place(e.word(off))
			}
		}
	}
	if table, ok := e.table(image, tag[dtRELR], tag[dtRELRSZ]); ok {
		e.relr(table, place)
	}
	return refs, nil
}

const (
	dtRELR   = elf.DynTag(36)
	dtRELRSZ = elf.DynTag(35)
)

// relr yields the addresses of a DT_RELR table: an even word is an address, an
// odd one a bitmap of the 63 words behind.
func (e *editor) relr(table extent, place func(vaddr uint64)) {
	var next uint64
	for off := table.off; off+8 <= table.end; off += 8 {
		w := e.word(off)
		if w&1 == 0 {
			place(w)
			next = w + 8
			continue
		}
		for i := range uint64(63) {
			if w>>(i+1)&1 == 1 {
				place(next + 8*i)
			}
		}
		next += 63 * 8
	}
}

// instructions finds lea with a 64-bit register.
func (e *editor) instructions(image *elfimage.Image, at uint64) (refs []reference) {
	const length = 7 // REX.W, 8d, ModRM, distance
	for _, s := range image.Segments {
		if s.Type != elf.PT_LOAD || s.Flags&elf.PF_X == 0 || s.Offset > uint64(len(e.b)) {
			continue
		}
		b := e.b[s.Offset:min(s.Offset+s.Filesz, uint64(len(e.b)))]
		for i := 1; i+length-1 <= len(b); i++ {
			j := bytes.IndexByte(b[i:], 0x8d)
			if j < 0 {
				break
			}
			if i += j; i+length-1 > len(b) {
				break
			}
			behind := s.Vaddr + uint64(i-1) + length
			if b[i-1]&0xfb == 0x48 && b[i+1]&0xc7 == 0x05 && uint32(at-behind) == binary.LittleEndian.Uint32(b[i+2:]) {
				refs = append(refs, reference{int(s.Offset) + i + 2, 4, behind})
			}
		}
	}
	return refs
}

// append puts text at the end of the read-only segment, and gives its address.
func (e *editor) append(image *elfimage.Image, text string) (uint64, error) {
	const page = 4096 // the smallest: what is in it is mapped with larger ones too
	for i, s := range image.Segments {
		if s.Type != elf.PT_LOAD || s.Flags != elf.PF_R || s.Filesz != s.Memsz || s.Offset > uint64(len(e.b)) || s.Filesz > uint64(len(e.b))-s.Offset {
			continue
		}
		end := s.Offset + s.Filesz + uint64(e.appended[i])
		limit := min((s.Offset+s.Filesz+page-1)&^(page-1), uint64(len(e.b)))
		size := uint64(len(text)) + 1
		if end+size > limit || len(bytes.Trim(e.b[end:end+size], "\x00")) > 0 || e.overlaps(image, i, end, size) {
			continue
		}
		e.putText(int(end), text)
		if e.appended == nil {
			e.appended = map[int]int{}
		}
		e.appended[i] += int(size)
		header := int(image.ProgramOffset) + i*int(image.ProgramSize)
		e.putNumber(header+32, 8, s.Filesz+uint64(e.appended[i])) // p_filesz
		e.putNumber(header+40, 8, s.Memsz+uint64(e.appended[i]))  // p_memsz
		return s.Vaddr + (end - s.Offset), nil
	}
	return 0, fmt.Errorf("%q: no room: %w", text, ErrDoesNotFit)
}

// overlaps says whether another segment uses the bytes.
func (e *editor) overlaps(image *elfimage.Image, except int, off, size uint64) bool {
	for i, s := range image.Segments {
		if i != except && s.Filesz > 0 && off < s.Offset+s.Filesz && s.Offset < off+size {
			return true
		}
	}
	return false
}

func (e *editor) word(off int) uint64 { return binary.LittleEndian.Uint64(e.b[off:]) }

// table is a part of the file that the dynamic section tells of.
func (e *editor) table(image *elfimage.Image, vaddr, size uint64) (extent, bool) {
	off, ok := image.FileOffset(vaddr)
	if vaddr == 0 || !ok || off > uint64(len(e.b)) || size > uint64(len(e.b))-off {
		return extent{}, false
	}
	return extent{int(off), int(off + size)}, true
}

// address is the virtual address of a byte of the file.
func address(image *elfimage.Image, off uint64) (uint64, bool) {
	for _, s := range image.Segments {
		if s.Type == elf.PT_LOAD && off >= s.Offset && off-s.Offset < s.Filesz {
			return s.Vaddr + (off - s.Offset), true
		}
	}
	return 0, false
}
