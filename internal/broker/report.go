package broker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
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

// sums is the record as far as it was added up. The record is written by the dispatcher and by anyone inside.
type sums struct {
	programs map[string]*protocol.Program
	read     int64          // bytes
	open     map[string]int // lines of executions that weren't decided yet → how many
}

// maxOpen bounds the lines that are kept for later: of true ones there are only as many as processes that wait.
const maxOpen = 10000

// add counts one execution.
func (s *sums) add(p protocol.Program, count int, args []string) {
	key := string(p.Outcome) + "\x00" + p.Path + "\x00" + p.Applet
	sum := s.programs[key]
	if sum == nil {
		p.Count = 0
		sum = &p
		if s.programs == nil {
			s.programs = map[string]*protocol.Program{}
		}
		s.programs[key] = sum
	}
	sum.Count += count
	if args != nil && len(sum.Calls) < maxCalls {
		sum.Calls = append(sum.Calls, strings.Join(args, " "))
	}
}

// tally adds up what is new in the record, by the decisions that hold. Call it before one of them is forgotten.
func (b *Broker) tally() {
	if b.Record == "" {
		return
	}
	f, err := os.Open(b.Record)
	if err != nil {
		return // the report will lack something
	}
	defer f.Close()
	s := &b.sums
	for line, n := range s.open {
		if b.countLine(line, n) {
			delete(s.open, line)
		}
	}
	if _, err := f.Seek(s.read, io.SeekStart); err != nil {
		return
	}
	lines := bufio.NewReaderSize(f, 1<<18)
	skipping := false
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // no line of the dispatcher's
			s.read += int64(len(line))
			skipping = true
			continue
		case err != nil:
			return // a line that isn't whole is read the next time
		}
		s.read += int64(len(line))
		if skipping {
			skipping = false
			continue
		}
		b.tallyLine(bytes.TrimSuffix(line, []byte("\n")))
	}
}

func (b *Broker) tallyLine(line []byte) {
	s := &b.sums
	if rest, ok := bytes.CutPrefix(line, []byte(CallPrefix)); ok {
		var c Call
		if json.Unmarshal(rest, &c) == nil {
			s.add(protocol.Program{Path: c.Path, Applet: c.Applet, Outcome: c.Outcome, Row: c.Row, Reason: c.Reason}, 1, c.Args)
		}
		return
	}
	if b.countLine(string(line), 1) || len(s.open) >= maxOpen {
		return
	}
	if s.open == nil {
		s.open = map[string]int{}
	}
	s.open[string(line)]++
}

// countLine counts executions of one line of the dispatcher's; false if nothing is decided about them.
func (b *Broker) countLine(line string, n int) bool {
	entry, called, _ := strings.Cut(line, "\t")
	d := b.decisions[entry]
	if d == nil {
		name, preload := strings.CutSuffix(entry, preloadMark)
		if name += ".m/" + called; preload {
			name += preloadMark
		}
		d = b.decisions[name]
	}
	if d == nil {
		return false
	}
	if !d.ordered { // crossroot's own entry writes the line that counts
		b.sums.add(protocol.Program{Path: d.path, Applet: d.applet, Outcome: d.decision.Outcome, Row: d.decision.Row, Reason: d.decision.Reason, Near: d.decision.Near}, n, nil)
	}
	return true
}

// Programs adds the record up: which programs ran how, how often, the most frequent first. What doesn't fit the
// decisions made is passed over. Call it once, when nothing runs any more.
func (b *Broker) Programs() []protocol.Program {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tally()
	for _, p := range b.nameless {
		b.sums.add(*p, p.Count, nil)
	}
	all := make([]protocol.Program, 0, len(b.sums.programs))
	for _, p := range b.sums.programs {
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
