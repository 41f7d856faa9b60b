package toolroot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/crossroot/crossroot/internal/relocate"
)

// builder writes the files of a collection.
type builder struct {
	*collection
	o      Options
	owners map[string]owner
	reuse  *reusable // nil: nothing

	mu    sync.Mutex // guards what follows
	done  int
	total int
}

// output is what became of an item.
type output struct {
	changes []relocate.Change
	applets []string
	words   int // places where the CPU's name was found
	err     error
}

func newBuilder(c *collection, o Options) *builder {
	files := make(map[string]bool, len(c.items))
	for _, it := range c.items {
		if it.real != "" {
			files[it.real] = true
		}
	}
	return &builder{collection: c, o: o, owners: owners(c.src, files), reuse: newReusable(o.Like, c.libDir)}
}

// base writes everything but what differs per target.
func (b *builder) base(ctx context.Context, dir string) error {
	var items []*item
	for _, it := range b.items {
		if it.identity == "" {
			items = append(items, it)
		}
	}
	results, err := b.write(ctx, dir, items)
	if err != nil {
		return err
	}
	x := Index{
		Format: format, Source: b.src.Name(), Host: b.host.Name, LibDir: b.libDir, Loader: b.loader,
		Perl: b.perlIndex(), Python: b.pythonIndex(), Skipped: b.skipped, Tools: []Tool{},
	}
	for i, it := range items {
		x.Files++
		x.Bytes += it.info.Size
		switch err := results[i].err; {
		case err != nil:
			x.Skipped = append(x.Skipped, Skip{it.real, err.Error()})
		case it.program:
			x.Tools = append(x.Tools, b.tool(it, results[i]))
		}
	}
	if err := b.writeCache(dir); err != nil {
		return err
	}
	if err := b.writeFiles(dir, items, results); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, indexName), x)
}

// variant writes the programs and libraries that have the CPU's name compiled
// in, of those families in which it could be replaced.
func (b *builder) variant(ctx context.Context, dir string) error {
	var items []*item
	for _, it := range b.items {
		if it.identity != "" {
			items = append(items, it)
		}
	}
	results, err := b.write(ctx, dir, items)
	if err != nil {
		return err
	}
	unfit := b.unfit(items, results)
	tools := []Tool{}
	for i, it := range items {
		reason := unfit[it.identity]
		if reason != "" {
			if results[i], err = b.withoutIdentity(dir, it, reason); err != nil {
				return err
			}
		}
		if it.program {
			t := b.tool(it, results[i])
			if results[i].err != nil {
				t.Unavailable = results[i].err.Error()
			}
			if reason == "" {
				t.Identity = it.identity
			}
			tools = append(tools, t)
		}
	}
	if err := b.writeFiles(dir, items, results); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, indexName), tools)
}

// withoutIdentity takes a program out whose name could not be replaced, or puts
// it in as it is.
func (b *builder) withoutIdentity(dir string, it *item, reason string) (output, error) {
	if err := os.Remove(filepath.Join(dir, it.dest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return output{}, fmt.Errorf("build tool root: %w", err)
	}
	if !families[it.identity].shown {
		return output{err: errors.New(reason)}, nil
	}
	plain := *it
	plain.identity = ""
	return b.writeItem(dir, &plain)
}

// unfit says for each family why it can't be used, if it can't.
func (b *builder) unfit(items []*item, results []output) map[string]string {
	places := map[string]int{}
	reasons := map[string]string{}
	for i, it := range items {
		places[it.identity] += results[i].words
		if err := results[i].err; errors.Is(err, relocate.ErrDoesNotFit) {
			reasons[it.identity] = "identity does not fit: " + err.Error()
		}
	}
	for name, n := range places {
		if why := families[name].unfit(b.host, b.o.Target, n); why != "" {
			reasons[name] = why
		}
	}
	return reasons
}

func (b *builder) tool(it *item, out output) Tool {
	own := b.owners[it.real]
	names := slices.Clone(it.names)
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(n string) bool { return slices.Contains(spellings(n), it.real) })
	return Tool{
		Path: hidden + it.dest, Source: it.real, Names: names, Size: it.info.Size, BuildID: it.buildID, Static: it.static,
		Package: own.name, PackageVersion: own.version, Applets: out.applets,
	}
}

// writeFiles writes the list of all files.
func (b *builder) writeFiles(dir string, items []*item, results []output) error {
	list := []File{}
	for i, it := range items {
		if results[i].err != nil {
			continue
		}
		own := b.owners[it.real]
		f := File{Path: it.dest, Source: it.real, Size: it.info.Size, Package: own.name, Version: own.version, Made: it.made(), Rewrites: results[i].changes}
		list = append(list, f)
	}
	return writeJSON(filepath.Join(dir, filesName), list)
}

// write writes the items below dir, on all CPUs. A file that can't be relocated
// is left out and has its error in the result; other errors end it.
func (b *builder) write(ctx context.Context, dir string, items []*item) ([]output, error) {
	for _, it := range items {
		if err := makeDirs(dir, path.Dir(it.dest)); err != nil {
			return nil, fmt.Errorf("build tool root: %w", err)
		}
	}
	b.done, b.total = 0, len(items)
	results := make([]output, len(items))
	next := make(chan int)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				if ctx.Err() != nil {
					continue
				}
				out, err := b.writeItem(dir, items[i])
				if err != nil {
					cancel(err)
				}
				results[i] = out
				b.progress(items[i].dest)
			}
		})
	}
	for i := range items {
		next <- i
	}
	close(next)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("build tool root: %w", err)
	}
	return results, nil
}

func (b *builder) progress(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
	if b.o.Progress != nil {
		b.o.Progress(b.done, b.total, what)
	}
}

// writeItem writes one file. out.err is the file's own fault.
func (b *builder) writeItem(dir string, it *item) (out output, err error) {
	name := filepath.Join(dir, it.dest)
	if it.link != "" {
		return out, os.Symlink(it.link, name)
	}
	if out, ok := b.reuse.link(dir, it); ok {
		return out, nil
	}
	if it.content != nil {
		return out, writeNew(name, it.content, 0o644)
	}
	content, err := b.content(it)
	if err != nil {
		return out, err
	}
	mode := fs.FileMode(0o644)
	if it.elf {
		if it.program {
			out.applets = Applets(it.real, content)
		}
		if it.program || it.kind == relocate.Loader {
			mode = 0o755
		}
		rules := relocate.Rules{LibDir: b.libDir, Kind: it.kind}
		if f, ok := families[it.identity]; ok {
			rules.Words = f.rewriting(b.host, b.o.Target, &out.words)
		}
		if out.changes, out.err = relocate.Rewrite(content, rules); out.err != nil {
			return out, nil
		}
	}
	if path.Base(it.dest) == "gconv-modules.cache" {
		out.changes = relocate.RewriteData(content, relocate.Rules{LibDir: b.libDir})
	}
	return out, writeNew(name, content, mode)
}

// content reads a file, which must not have changed since it was collected.
func (b *builder) content(it *item) ([]byte, error) {
	f, err := b.src.Open(it.real)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(err, errStale)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	content := make([]byte, it.info.Size)
	switch _, err := io.ReadFull(f, content); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("read %s: %w", f.Name(), errStale)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if now, err := b.src.Stat(it.real); err != nil || now != it.info {
		return nil, fmt.Errorf("read %s: %w", f.Name(), errStale)
	}
	return content, nil
}
