package keeper

import (
	"encoding/hex"
	"os"
	"path"
	"strings"

	"github.com/crossroot/crossroot/internal/kernel/binfmt"
)

// The builder's user namespace has a table of handlers of its own, which hides the machine's. Those that are about
// something else than executables for another CPU (Windows programs, archives of Java) are entered there too.

// machineTable is where the machine's table is mounted, on the stage.
const machineTable = "/host/proc/sys/fs/binfmt_misc"

// copyHandlers enters the machine's other handlers. What can't be read or entered isn't missed by builders of roots.
func (k *keeper) copyHandlers() {
	entries, err := os.ReadDir(machineTable)
	if err != nil {
		return
	}
	for _, e := range entries {
		text, err := os.ReadFile(path.Join(machineTable, e.Name()))
		if err != nil {
			continue
		}
		if h, ok := parseHandler(string(text)); ok {
			_ = k.handlers.Add(e.Name(), h)
		}
	}
}

// parseHandler reads a handler as the table shows it (Documentation/admin-guide/binfmt-misc.rst); false for those that
// are off, or about ELF files.
func parseHandler(text string) (binfmt.Handler, bool) {
	var h binfmt.Handler
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if lines[0] != "enabled" {
		return h, false
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, " ")
		var err error
		switch name {
		case "interpreter":
			h.Interpreter = value
		case "flags:":
			// F would be the interpreter as the keeper's root has it.
			h.Flags = strings.ReplaceAll(value, "F", "")
		case "offset":
			h.Offset = value
		case "magic":
			h.Magic, err = hex.DecodeString(value)
		case "mask":
			h.Mask, err = hex.DecodeString(value)
		case "extension":
			h.Extension = strings.TrimPrefix(value, ".")
		}
		if err != nil {
			return h, false
		}
	}
	elf := h.Offset == "0" && strings.HasPrefix(string(h.Magic), "\x7fELF")
	return h, h.Interpreter != "" && !elf && (len(h.Magic) > 0) != (h.Extension != "")
}
