package session

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/broker"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// Advise returns a broker that explains what a run with the same options would do in ROOT, without a run; close it
// with the function returned.
func Advise(ctx context.Context, root *Root, o Options) (*broker.Broker, func(), error) {
	r := &run{root: root, o: o}
	if err := r.prepareDispatch(ctx); err != nil {
		return nil, nil, err
	}
	decisions, err := policy.Default()
	if err != nil {
		return nil, nil, err
	}
	if len(r.setup.Policy) > 0 {
		user, err := policy.Parse(r.setup.PolicyName, r.setup.Policy)
		if err != nil {
			return nil, nil, fail(KindPolicy, o.Policy, err)
		}
		decisions = decisions.With(user)
	}
	options := broker.Options{
		Root: root.Dir, Target: root.Arch, Host: arch.Host(), Policy: decisions, Fidelity: o.Fidelity,
		Emulators: map[string]bool{}, Dispatch: len(r.setup.Foreign) > 0,
	}
	for _, e := range r.setup.Emulators {
		options.Emulators[e.Arch] = true
	}
	if r.tools != nil {
		options.Tools = r.tools.Index
		options.ToolFile = toolFile(r.tools)
	}
	return broker.Adviser(options), r.closeTools, nil
}

// toolFile finds a file of the tool root on the host by its path inside.
func toolFile(t *toolroot.Root) func(string) string {
	return func(inside string) string {
		rest := strings.TrimPrefix(inside, protocol.HiddenDir)
		if own := filepath.Join(t.Variant, rest); exists(own) {
			return own
		}
		return filepath.Join(t.Base, rest)
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
