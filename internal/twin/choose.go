package twin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/crossroot/crossroot/internal/debian/repo"
)

// choose finds a package for each of the root's and unpacks those that aren't.
func (b *builder) choose(ctx context.Context) error {
	b.note.Choices = make(map[string]choice, len(b.target.packages))
	var ask []string
	want := map[string]string{}
	for _, p := range b.target.packages {
		want[p.Name] = p.Version
		if was, ok := b.recall(p.Name, p.Version); ok {
			b.note.Choices[p.Name] = was
			continue
		}
		ask = append(ask, p.Name)
	}
	if len(ask) == 0 {
		return nil
	}
	err := b.askAll(ctx, ask, want)
	var failed *repo.Error
	if !b.o.Lenient || ctx.Err() != nil || !errors.As(err, &failed) {
		return err
	}
	b.note.Failure = &Failure{time.Now(), err.Error(), b.o.Config.Offline}
	b.warnings = append(b.warnings, err.Error())
	for _, name := range ask {
		if c := b.note.Choices[name]; c.SHA256 == "" || !b.whole(c.id(name)) {
			b.note.Choices[name] = choice{Want: want[name], Unasked: true}
		}
	}
	return nil
}

// askAll asks the repository for packages and gets them.
func (b *builder) askAll(ctx context.Context, names []string, want map[string]string) error {
	if err := b.openRepository(ctx); err != nil {
		return err
	}
	found := map[string]repo.Package{}
	for _, name := range names {
		c, p, err := b.ask(name, want[name])
		if err != nil {
			return err
		}
		b.note.Choices[name] = c
		if c.SHA256 != "" && !c.LeftOut && !b.whole(c.id(name)) {
			found[name] = p
		}
	}
	return b.get(ctx, found)
}

// keeps says whether an earlier choice is as good as a new one would be.
func (b *builder) keeps(name string, was choice) bool {
	switch {
	case was.Unasked, b.o.Refresh && was.Version != was.Want:
		return false
	case was.LeftOut || was.SHA256 == "":
		return true
	}
	return b.whole(was.id(name))
}

// recall finds what was chosen before for a package in this version, if that still is good.
func (b *builder) recall(name, want string) (choice, bool) {
	for _, n := range []note{b.old, b.other} {
		if was, ok := n.Choices[name]; ok && was.Want == want && b.keeps(name, was) {
			return was, true
		}
	}
	return choice{}, false
}

func (b *builder) openRepository(ctx context.Context) error {
	if b.repo != nil {
		return nil
	}
	k := b.o.kept
	if k == nil {
		k = &kept{}
	}
	if !k.opened {
		b.progress(0, 0, "looking for packages")
		open := b.o.Repository
		if open == nil {
			open = b.apt
		}
		k.repo, k.from, k.err = open(ctx)
		k.opened = ctx.Err() == nil
	}
	b.repo, b.note.From = k.repo, cmp.Or(k.from, b.note.From)
	return k.err
}

// ask asks the repository for a package. That it isn't there, or only for all architectures, is an answer too.
func (b *builder) ask(name, want string) (choice, repo.Package, error) {
	c := choice{Want: want}
	p, err := b.repo.Resolve(name, want)
	var none *repo.NotFoundError
	var failed *repo.Error
	switch {
	case errors.As(err, &none):
		return c, p, nil
	case errors.As(err, &failed) && failed.Kind == repo.Malformed: // one package's stanza; the others may be fine
		b.warnings = append(b.warnings, err.Error())
		return c, p, nil
	case err != nil:
		return c, p, err
	case p.Arch != b.o.Host.Debian: // in this release it has become independent of the CPU
		return c, p, nil
	}
	c.Version, c.Arch, c.SHA256 = p.Version, p.Arch, p.SHA256
	c.LeftOut = slices.Contains(leftOutSections, path.Base(p.Section))
	return c, p, nil
}

// leftOutSections are those (below main, contrib…) whose packages hold nothing that is run.
var leftOutSections = []string{"debug", "doc", "kernel", "libdevel", "metapackages", "translations"}

// get fetches packages and unpacks them, several at a time.
func (b *builder) get(ctx context.Context, found map[string]repo.Package) error {
	var names []string
	var packages []repo.Package
	for name := range found {
		names = append(names, name)
	}
	// Large ones first: otherwise the last one is unpacked alone.
	slices.SortFunc(names, func(x, y string) int { return int(found[y].Size - found[x].Size) })
	for _, name := range names {
		packages = append(packages, found[name])
	}
	if len(names) == 0 {
		return nil
	}
	if err := b.allow(found); err != nil {
		return err
	}
	b.progress(0, len(names), "fetching packages")
	files, err := b.repo.Fetch(ctx, packages)
	if err != nil {
		return err
	}
	return b.unpackAll(ctx, names, files)
}

func (b *builder) unpackAll(ctx context.Context, names, files []string) error {
	const most = 4 // each may need the 64 MiB of a decompressor's window
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan int)
	var wait sync.WaitGroup
	var mutex sync.Mutex
	for range min(runtime.GOMAXPROCS(0), most, len(names)) {
		wait.Go(func() {
			for i := range jobs {
				c := b.note.Choices[names[i]]
				if err := b.cache.unpack(ctx, names[i], c, files[i]); err != nil {
					cancel(fmt.Errorf("package %s %s: %w", names[i], c.Version, err))
					return
				}
				mutex.Lock()
				b.made++
				b.progress(b.made, len(names), names[i])
				mutex.Unlock()
			}
		})
	}
	for i := range names {
		select {
		case jobs <- i:
		case <-ctx.Done():
		}
	}
	close(jobs)
	wait.Wait()
	return context.Cause(ctx)
}

func (b *builder) progress(done, total int, what string) {
	if b.o.Progress != nil {
		b.o.Progress(done, total, what)
	}
}
