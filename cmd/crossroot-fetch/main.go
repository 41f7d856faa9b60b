// Command crossroot-fetch downloads files for crossroot, whose own executable knows no network. It reads jobs as JSON, one
// a line (internal/fetch.Job), and says how they go the same way (internal/fetch.Event). It writes nothing but the files
// that the jobs name. Proxies come from the environment. It ends when its input has ended and all jobs are done.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/crossroot/crossroot/internal/fetch"
)

const usage = `usage: crossroot-fetch [options] < jobs > events

Downloads files for crossroot, which starts it. Options:
`

func main() {
	g := newGetter()
	parallel := 4
	f := flag.NewFlagSet("crossroot-fetch", flag.ContinueOnError)
	f.Usage = func() { fmt.Fprint(f.Output(), usage); f.PrintDefaults() }
	f.IntVar(&parallel, "parallel", parallel, "downloads at a time")
	f.IntVar(&g.tries, "tries", g.tries, "how often to try each")
	f.DurationVar(&g.connect, "connect", g.connect, "longest time to connect")
	f.DurationVar(&g.idle, "idle", g.idle, "longest time without a byte")
	f.DurationVar(&g.total, "total", g.total, "longest time for a file, and what its size takes at -rate")
	f.Int64Var(&g.rate, "rate", g.rate, "least bytes per second, over -window")
	f.DurationVar(&g.window, "window", g.window, "time over which -rate counts")
	f.DurationVar(&g.pause, "pause", g.pause, "before the second try; doubles")
	if err := f.Parse(os.Args[1:]); err != nil {
		if err == flag.ErrHelp {
			return
		}
		os.Exit(2)
	}
	if f.NArg() > 0 || parallel < 1 || parallel > 64 || g.tries < 1 || g.rate < 1 {
		f.Usage()
		os.Exit(2)
	}
	if err := work(context.Background(), g, parallel, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "crossroot-fetch: %v\n", err)
		os.Exit(1)
	}
}

// work does the jobs that it reads. The error is about reading and writing them, not about a job.
func work(ctx context.Context, g *getter, parallel int, in io.Reader, out io.Writer) error {
	g.start()
	jobs := make(chan fetch.Job)
	e := &events{enc: json.NewEncoder(out)}
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for j := range jobs {
				e.send(g.get(ctx, j, &progress{id: j.ID, to: e}))
			}
		})
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	var err error
	for lines.Scan() {
		var j fetch.Job
		if err = json.Unmarshal(lines.Bytes(), &j); err != nil {
			err = fmt.Errorf("read job: %w", err)
			break
		}
		jobs <- j
	}
	close(jobs)
	workers.Wait()
	if err == nil && lines.Err() != nil {
		err = fmt.Errorf("read job: %w", lines.Err())
	}
	if err == nil {
		err = e.err
	}
	return err
}

// events are sent by several workers.
type events struct {
	mu  sync.Mutex
	enc *json.Encoder
	err error
}

func (e *events) send(ev fetch.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.enc.Encode(ev); e.err == nil && err != nil {
		e.err = fmt.Errorf("write event: %w", err)
	}
}

// progress says how far a job is, a few times a second.
type progress struct {
	id   int
	to   *events
	last time.Time
}

func (p *progress) at(bytes int64) {
	if now := time.Now(); now.Sub(p.last) >= 200*time.Millisecond {
		p.last = now
		p.to.send(fetch.Event{ID: p.id, Kind: fetch.Progress, Bytes: bytes})
	}
}
