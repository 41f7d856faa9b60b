package broker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"path"
	"sort"
	"strings"

	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
)

// Call is one line of the record that crossroot's own entry writes: what it decided by the arguments.
type Call struct {
	Path    string         `json:"p"`
	Applet  string         `json:"a,omitempty"`
	Outcome policy.Outcome `json:"o"`
	Row     string         `json:"r,omitempty"`
	Reason  string         `json:"w,omitempty"`
	Args    []string       `json:"v,omitempty"`
}

// CallPrefix starts a line of the record that holds a Call as JSON.
const CallPrefix = "!"

// maxCalls bounds how many calls of one stub the report quotes.
const maxCalls = 20

// Programs adds the record up: which programs ran how, how often, the most frequent first. The record is written by
// the dispatcher and by anyone inside; what doesn't fit the decisions made is passed over.
func (b *Broker) Programs(record io.Reader) []protocol.Program {
	b.mu.Lock()
	defer b.mu.Unlock()
	sums := map[string]*protocol.Program{}
	key := func(p protocol.Program) string { return string(p.Outcome) + "\x00" + p.Path + "\x00" + p.Applet }
	add := func(p protocol.Program, args []string) {
		sum := sums[key(p)]
		if sum == nil {
			p.Count = 0
			sum = &p
			sums[key(p)] = sum
		}
		sum.Count++
		if args != nil && len(sum.Calls) < maxCalls {
			sum.Calls = append(sum.Calls, strings.Join(args, " "))
		}
	}
	lines := bufio.NewScanner(record)
	lines.Buffer(make([]byte, 1<<16), 1<<20)
	for lines.Scan() {
		line := lines.Bytes()
		if rest, ok := bytes.CutPrefix(line, []byte(CallPrefix)); ok {
			var c Call
			if json.Unmarshal(rest, &c) == nil {
				add(protocol.Program{Path: c.Path, Applet: c.Applet, Outcome: c.Outcome, Row: c.Row, Reason: c.Reason}, c.Args)
			}
			continue
		}
		entry, called, _ := strings.Cut(string(line), "\t")
		d := b.decisions[entry]
		if d == nil {
			name, preload := strings.CutSuffix(entry, preloadMark)
			if name += ".m/" + called; preload {
				name += preloadMark
			}
			d = b.decisions[name]
		}
		if d == nil || d.ordered {
			continue // crossroot's own entry writes the line that counts
		}
		add(protocol.Program{Path: d.path, Applet: d.applet, Outcome: d.decision.Outcome, Row: d.decision.Row, Reason: d.decision.Reason, Near: d.decision.Near}, nil)
	}
	for _, p := range b.nameless {
		n := p.Count
		add(*p, nil)
		sums[key(*p)].Count += n - 1
	}
	all := make([]protocol.Program, 0, len(sums))
	for _, p := range sums {
		all = append(all, *p)
	}
	b.costs.share(all)
	sort.Slice(all, func(i, j int) bool {
		if all[i].Count != all[j].Count {
			return all[i].Count > all[j].Count
		}
		return all[i].Path+all[i].Applet < all[j].Path+all[j].Applet
	})
	return all
}

// Unrunnable is the outcome, in reports, of a program that would be emulated where there is no emulator.
const Unrunnable policy.Outcome = "unrunnable"

// Label is how a program is called in texts.
func Label(p protocol.Program) string {
	if p.Applet != "" && p.Applet != path.Base(p.Path) {
		return p.Path + " " + p.Applet
	}
	return p.Path
}
