package keeper

import (
	"os"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
)

// report adds up what was executed, root by root.
func (k *keeper) report() []Root {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []Root
	for _, r := range k.roots {
		if r.broker == nil {
			continue
		}
		info, err := os.Stat(r.dir + "/record/log")
		all = append(all, Root{
			Name: r.name, Arch: r.arch.Name, Tools: r.from, Programs: r.broker.Programs(),
			Truncated: err == nil && info.Size() >= recordLimit-4096,
		})
	}
	slices.SortFunc(all, func(a, b Root) int { return strings.Compare(a.Name, b.Name) })
	if len(k.byFD) > 0 {
		var programs []protocol.Program
		for name, n := range k.byFD {
			programs = append(programs, protocol.Program{
				Path: name, Outcome: policy.Emulate, Count: n,
				Reason: "executed where no hidden directory can be attached, or by a program that changes mounts",
			})
		}
		slices.SortFunc(programs, func(a, b protocol.Program) int {
			if a.Count != b.Count {
				return b.Count - a.Count
			}
			return strings.Compare(a.Path, b.Path)
		})
		all = append(all, Root{Name: "elsewhere", Programs: programs})
	}
	return all
}
