package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// result is what a job took.
type result struct {
	job    job
	times  []time.Duration
	phases phases // of crossroot's own
	err    error  // the job did not work; times is empty
}

// measure runs every job once a round, each round starting with another one.
func (e *env) measure(ctx context.Context, chosen []job, rounds int) []result {
	results := make([]result, len(chosen))
	for i, j := range chosen {
		results[i].job = j
	}
	for round := range rounds {
		for k := range results {
			r := &results[(round+k)%len(results)]
			if r.err != nil || (r.job.once && round > 0) || ctx.Err() != nil {
				continue
			}
			e.phases = &r.phases
			times, err := e.time(ctx, r.job, round == 0)
			if err != nil {
				r.err, r.times = err, nil
				progress("round %d: %s, %s: does not work: %s", round+1, r.job.group, r.job.name, lastLine(err))
				continue
			}
			r.times = append(r.times, times...)
			progress("round %d: %s, %s: %s", round+1, r.job.group, r.job.name, format(median(times)))
		}
	}
	return results
}

// time runs a job. What its preparation wrote is on the disk before the clock starts. Jobs that share a root, and so
// are short, run once unmeasured in the first round: caches are warm, the tool root is built.
func (e *env) time(ctx context.Context, j job, first bool) ([]time.Duration, error) {
	root, remove, err := e.place(ctx, j.root)
	if err != nil {
		return nil, err
	}
	defer remove()
	limit := j.limit
	if limit == 0 {
		limit = 10 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if first && !j.once {
		if err := e.warmUp(ctx, j, root); err != nil {
			return nil, err
		}
	}
	var times []time.Duration
	for range max(j.repeat, 1) {
		syscall.Sync()
		start := time.Now()
		if err := j.run(ctx, e, root); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}

// warmUp lets crossroot build its tool root, and every short job run once.
func (e *env) warmUp(ctx context.Context, j job, root string) error {
	if !j.root.fresh {
		err := j.run(ctx, e, root)
		*e.phases = phases{}
		return err
	}
	if j.rehearse {
		err := j.run(ctx, e, root)
		*e.phases = phases{}
		return errors.Join(err, e.renew(ctx, j.root, root))
	}
	if j.root.native || j.name == "qemu-user chroot" {
		return nil
	}
	if j.name == "crossroot, twin" {
		return finishedTwin([]string{"/bin/true"}, "--keep", "never")(ctx, e, root)
	}
	if err := e.crossroot(ctx, "run", "--keep", "never", root, "--", "/bin/true"); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	return nil
}
