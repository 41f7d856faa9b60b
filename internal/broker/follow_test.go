package broker

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
	"github.com/crossroot/crossroot/internal/twin/state"
)

const statusFile = "var/lib/dpkg/status"

// packages is a database with NAME 1 for each name.
func packages(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "Package: %s\nStatus: install ok unpacked\nArchitecture: armhf\nVersion: 1\n\n", n)
	}
	return b.String()
}

// following makes a broker whose root has changed from package a to a and b, and the function that changes it again.
func followed(t *testing.T, next func(state.State) (*toolroot.Index, func() error, error)) (b *Broker, change func(names ...string), warnings *[]string) {
	t.Helper()
	b = rootWith(t, map[string]string{statusFile: packages("a", "b")})
	b.decisions, b.Hidden = map[string]*decided{}, t.TempDir()
	warnings = &[]string{}
	b.Follower = &Follower{Start: rootWith(t, map[string]string{statusFile: packages("a")}).Root, Next: next, Failed: func(reason string) {
		*warnings = append(*warnings, reason)
	}}
	t.Cleanup(b.closeWatches)
	return b, func(names ...string) {
		if err := os.WriteFile(b.Root.Name()+"/"+statusFile, []byte(packages(names...)), 0o600); err != nil {
			t.Fatal(err)
		}
	}, warnings
}

func TestFollow(t *testing.T) {
	asked, shown := 0, 0
	index := &toolroot.Index{}
	b, change, warnings := followed(t, func(state.State) (*toolroot.Index, func() error, error) {
		asked++
		return index, func() error { shown++; return nil }, nil
	})
	entry := protocol.HiddenDir + "/armhf/exec/usr/bin/x/1-2-3"
	b.decisions[entry] = &decided{path: "/usr/bin/x", arch: b.Target}
	if err := os.MkdirAll(b.here(entry)+".e", 0o755); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(b.follow)
	}
	wait.Wait()
	if asked != 1 || shown != 1 || b.Tools != index || len(b.decisions) != 0 {
		t.Errorf("asked %d, shown %d times, %d decisions", asked, shown, len(b.decisions))
	}
	if _, err := os.Lstat(b.here(entry) + ".e"); err == nil {
		t.Error("the exec map still has the entry")
	}
	change("a", "b", "c")
	b.follow()
	b.follow()
	if asked != 2 || len(*warnings) != 0 {
		t.Errorf("asked %d times, %v", asked, *warnings)
	}
}

// What fails isn't tried again, and said once; so is what a script that writes the database in a loop would cost.
func TestFollowFails(t *testing.T) {
	asked := 0
	b, change, warnings := followed(t, func(state.State) (*toolroot.Index, func() error, error) {
		asked++
		return nil, nil, errors.New("the network is down")
	})
	for i := range 3 {
		change("a", fmt.Sprintf("p%d", i))
		b.follow()
	}
	d := policy.Decision{Outcome: policy.Emulate, Reason: "no tool", Lacking: true}
	b.explainLacking("x", &d)
	if asked != 1 || len(*warnings) != 1 || d.Reason != "no tool; the twin could not follow: the network is down" || b.mayFollow(d) {
		t.Errorf("asked %d times, %v, %q", asked, *warnings, d.Reason)
	}

	asked = 0
	b, change, warnings = followed(t, func(state.State) (*toolroot.Index, func() error, error) {
		asked++
		return nil, nil, nil
	})
	for i := range 2 * maxFollows {
		change("a", fmt.Sprintf("p%d", i))
		b.follow()
	}
	if asked != maxFollows || len(*warnings) != 1 {
		t.Errorf("asked %d times, %v", asked, *warnings)
	}
}

func TestFollowHostileDatabase(t *testing.T) {
	for name, text := range map[string]string{
		"no database": "x", "escape": "Package: ../x\nStatus: install ok installed\nVersion: 1\n", "too large": strings.Repeat("\n", state.LargestWhileRun+1),
	} {
		b, _, warnings := followed(t, func(state.State) (*toolroot.Index, func() error, error) {
			t.Errorf("%s: asked", name)
			return nil, nil, nil
		})
		if err := os.WriteFile(b.Root.Name()+"/"+statusFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b.follow()
		if len(*warnings) != 1 {
			t.Errorf("%s: %v", name, *warnings)
		}
	}
}
