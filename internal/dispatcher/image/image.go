// Package image writes the dispatcher as a file: a copy of the running executable whose ELF entry point is the
// freestanding symbol of package dispatcher. One binary is thus both the program and the kernel's handler; the copy
// knows nothing that the original does not.
package image

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/crossroot/crossroot/internal/dispatcher"
)

const (
	offsetType  = 16 // e_type, 2 bytes (System V ABI, ELF header, 64-bit class)
	offsetEntry = 24 // e_entry, 8 bytes
	typeExec    = 2  // ET_EXEC
)

// ErrPositionIndependent: the entry's address in the file can't be known from a relocated value.
var ErrPositionIndependent = errors.New("this executable is position independent: build crossroot without -buildmode=pie")

// ErrDynamic: the dispatcher runs in roots that have no loader for it.
var ErrDynamic = errors.New("this executable is dynamically linked: build crossroot with CGO_ENABLED=0")

// Write copies the executable self to w with the dispatcher's entry point in place of the runtime's.
func Write(w io.Writer, self *os.File) error {
	header := make([]byte, 64)
	if _, err := self.ReadAt(header, 0); err != nil {
		return fmt.Errorf("read ELF header of %s: %w", self.Name(), err)
	}
	if binary.LittleEndian.Uint16(header[offsetType:]) != typeExec {
		return ErrPositionIndependent
	}
	if dynamic, err := hasInterpreter(self); err != nil || dynamic {
		return errors.Join(err, ErrDynamic)
	}
	binary.LittleEndian.PutUint64(header[offsetEntry:], uint64(dispatcher.Entry()))
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("write dispatcher: %w", err)
	}
	info, err := self.Stat()
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, io.NewSectionReader(self, int64(len(header)), info.Size()-int64(len(header)))); err != nil {
		return fmt.Errorf("write dispatcher: %w", err)
	}
	return nil
}

func hasInterpreter(self *os.File) (bool, error) {
	f, err := elf.NewFile(self)
	if err != nil {
		return false, fmt.Errorf("read program headers of %s: %w", self.Name(), err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return true, nil
		}
	}
	return false, nil
}
