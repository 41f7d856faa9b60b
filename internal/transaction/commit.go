package transaction

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"

	"github.com/crossroot/crossroot/internal/kernel/at"
)

// StagePrefix begins the name of the directory in ROOT's top that exists while a commit is under way.
const StagePrefix = ".crossroot-stage-"

// undoError marks that ROOT could not be brought back: the stage then holds what is missing and is kept.
type undoError struct{ error }

func (e *undoError) Unwrap() error { return e.error }

// Commit makes ROOT what the run made of it. On an error, also ctx's, before the first rename, ROOT is as it was, and
// so is its top directory's modification time; once renaming has begun ctx is no longer looked at, and an error is
// undone. If undoing fails too, the error says so and names the stage, which then holds what is missing. A plan can be
// committed once.
func (p *Plan) Commit(ctx context.Context) (err error) {
	if p.Empty() {
		return ctx.Err()
	}
	r := &run{ctx: ctx, p: p, top: -1, stageDir: -1}
	defer r.close()
	if err := r.open(); err != nil {
		return err
	}
	if err := r.prepare(); err != nil {
		return errors.Join(err, r.cleanUp(p.topBefore))
	}
	if err := r.publish(); err != nil {
		var lost *undoError
		if errors.As(err, &lost) {
			return fmt.Errorf("%w; the root could not be brought back whole, what is missing lies in %q", err, "/"+r.stageName)
		}
		return errors.Join(err, r.cleanUp(p.topBefore))
	}
	if err := r.sync(); err != nil {
		return err
	}
	return r.cleanUp(p.topAfter())
}

// topAfter is what the top directory's times are in the end.
func (p *Plan) topAfter() at.Stat {
	for _, m := range p.meta {
		if m.dir == p.top {
			return m.new
		}
	}
	return p.topBefore
}

func (r *run) open() error {
	var err error
	if r.up, err = at.NewCursor(int(r.p.upper.Fd()), r.p.top); err != nil {
		return fmt.Errorf("open the upper directory: %w", err)
	}
	if r.root, err = at.NewCursor(int(r.p.lower.Fd()), r.p.top); err != nil {
		return fmt.Errorf("open the target root: %w", err)
	}
	if r.top, err = at.Reopen(int(r.p.lower.Fd())); err != nil {
		return fmt.Errorf("open the target root: %w", err)
	}
	return nil
}

func (r *run) close() {
	for _, c := range []*at.Cursor{r.up, r.root, r.st, r.links} {
		if c != nil {
			c.Close()
		}
	}
	at.Close(r.stageDir)
	at.Close(r.top)
}

// prepare does everything that may fail for lack of space, rights or attributes, without touching what ROOT has.
func (r *run) prepare() error {
	if len(r.p.publish) > 0 {
		if err := r.makeStage(); err != nil {
			return err
		}
	}
	for i, op := range r.p.stage {
		if i%64 == 0 {
			if err := r.ctx.Err(); err != nil {
				return err
			}
		}
		if err := op.Apply(r); err != nil {
			return err
		}
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if err := r.sync(); err != nil {
		return err
	}
	if before := r.p.o.BeforePublish; before != nil {
		if err := before(r.ctx, r.p); err != nil {
			return err
		}
	}
	return r.ctx.Err()
}

// makeStage makes and opens the stage: a fresh directory that only its owner can enter and that hands nothing on to
// what is made in it.
func (r *run) makeStage() error {
	if err := r.haveRoom(); err != nil {
		return err
	}
	var random [8]byte
	rand.Read(random[:])
	name := StagePrefix + hex.EncodeToString(random[:])
	if err := at.Mkdir(r.top, name); err != nil {
		return failed("make the stage", "/"+name, err)
	}
	r.stageName = name
	fd, err := at.OpenDir(r.top, name)
	if err != nil {
		return failed("open the stage", "/"+name, err)
	}
	r.stageDir = fd
	for _, acl := range []string{"system.posix_acl_default", "system.posix_acl_access"} {
		if err := at.Fremovexattr(fd, acl); err != nil {
			return failed("prepare the stage", "/"+name, err)
		}
	}
	if err := at.Fchmod(fd, 0o700); err != nil {
		return failed("prepare the stage", "/"+name, err)
	}
	if r.st, err = at.NewCursor(fd, r.p.top); err == nil {
		r.links, err = at.NewCursor(fd, r.p.top)
	}
	if err != nil {
		return failed("open the stage", "/"+name, err)
	}
	return nil
}

// haveRoom says early, in one sentence, what would fail late.
func (r *run) haveRoom() error {
	free, err := at.Free(r.top)
	if err != nil {
		return failed("ask for free space", "/", err)
	}
	if free.Bytes < r.p.bytes {
		return fmt.Errorf("commit needs %d bytes, the target root's file system has %d left: %w", r.p.bytes, free.Bytes, syscall.ENOSPC)
	}
	if free.TotalInodes > 0 && free.Inodes < r.p.inodes {
		return fmt.Errorf("commit needs %d inodes, the target root's file system has %d left: %w", r.p.inodes, free.Inodes, syscall.ENOSPC)
	}
	return nil
}

// publish renames into place, then sets the metadata of directories; at an error it undoes what it did.
func (r *run) publish() error {
	touched := map[*at.Dir]bool{}
	for i, op := range r.p.publish {
		if err := op.Apply(r); err != nil {
			return r.undo(err, r.p.publish[:i], touched)
		}
		touched[op.Dir()] = true
	}
	for _, op := range r.p.meta {
		if err := op.Apply(r); err != nil {
			return r.undo(err, r.p.publish, touched)
		}
	}
	return nil
}

// undo takes back what was done, in reverse, and then restores the directories that this touched.
func (r *run) undo(cause error, done []publishOp, touched map[*at.Dir]bool) error {
	var failures []error
	for _, op := range slices.Backward(done) {
		failures = append(failures, op.Undo(r))
	}
	for _, op := range r.p.meta {
		if touched[op.dir] || op.begun {
			failures = append(failures, op.Undo(r))
		}
	}
	if lost := errors.Join(failures...); lost != nil {
		return errors.Join(cause, &undoError{lost})
	}
	return cause
}

func (r *run) sync() error {
	if r.p.o.NoSync {
		return nil
	}
	if err := at.Sync(r.top); err != nil {
		return fmt.Errorf("sync the target root: %w", err)
	}
	return nil
}

// cleanUp removes the stage with all that is in it and sets the times of ROOT's top directory.
func (r *run) cleanUp(top at.Stat) error {
	if r.stageName == "" {
		return nil
	}
	r.empty()
	if path, err := at.RemoveAll(r.top, r.stageName); err != nil {
		return failed("remove the stage", path, err)
	}
	if err := at.FsetTimes(r.top, top.Atime, top.Mtime); err != nil {
		return failed("set times", "/", err)
	}
	return nil
}

// empty removes what is in the stage, several entries at once: a file system that discards freed blocks at once waits
// for the device at every file. What it can't remove is met again by the caller.
func (r *run) empty() {
	const workers = 8
	if r.stageDir < 0 {
		return
	}
	names, err := at.Names(r.stageDir)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	for part := range slices.Chunk(names, len(names)/workers+1) {
		wg.Go(func() {
			for _, name := range part {
				_, _ = at.RemoveAll(r.stageDir, name)
			}
		})
	}
	wg.Wait()
}
