package twin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/repo"
	"github.com/crossroot/crossroot/internal/debian/sources"
	"github.com/crossroot/crossroot/internal/kernel/fd"
)

// apt opens the packages' source by apt's configuration, see Options.From.
func (b *builder) apt(ctx context.Context) (Repository, string, error) {
	switch b.o.From {
	case "root":
		return b.openRoot(ctx)
	case "machine":
		return b.openMachine(ctx)
	case "":
	default:
		return b.openFile(ctx)
	}
	r, from, err := b.openRoot(ctx)
	var failed *repo.Error
	if err == nil || !errors.As(err, &failed) || !slices.Contains([]repo.Kind{repo.NoSource, repo.NoArch, repo.Unreachable}, failed.Kind) {
		return r, from, err
	}
	machine, openErr := os.Open("/")
	if openErr != nil {
		return nil, "", err
	}
	defer func() { _ = machine.Close() }()
	if !sameRelease(b.root, machine) {
		return nil, "", err
	}
	r, from, second := b.openMachine(ctx)
	if second != nil {
		return nil, "", fmt.Errorf("%w; and by this machine's sources: %w", err, second)
	}
	return r, from, nil
}

func (b *builder) openRoot(ctx context.Context) (Repository, string, error) {
	apt, err := repo.ReadApt(b.root)
	if err != nil {
		return nil, "", err
	}
	b.warn(apt.Problems)
	r, words, err := b.openSources(ctx, apt.Sources, b.root, b.o.Target.Debian, apt.Expired, "the root's sources")
	return r, words, because(err, apt.Problems)
}

func (b *builder) openMachine(ctx context.Context) (Repository, string, error) {
	machine, err := os.Open("/")
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = machine.Close() }()
	apt, err := repo.ReadApt(machine)
	if err != nil {
		return nil, "", err
	}
	b.warn(apt.Problems)
	r, words, err := b.openSources(ctx, apt.Sources, nil, b.o.Host.Debian, apt.Expired, "this machine's sources")
	return r, words, because(err, apt.Problems)
}

// because adds to an error what couldn't be understood of apt's configuration, which may be why.
func because(err error, problems []error) error {
	if err == nil || len(problems) == 0 {
		return err
	}
	more := ""
	if len(problems) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(problems)-1)
	}
	return fmt.Errorf("%w; not understood: %w%s", err, problems[0], more)
}

// openFile reads sources from a file of the machine, by its ending; any but .sources is one-line.
func (b *builder) openFile(ctx context.Context) (Repository, string, error) {
	name, err := filepath.Abs(b.o.From)
	if err != nil {
		return nil, "", err
	}
	machine, err := os.Open("/")
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = machine.Close() }()
	text, err := fd.ReadFile(machine, name, repo.LargestSources)
	if err != nil {
		return nil, "", err
	}
	if end := filepath.Ext(name); end != ".sources" && end != ".list" {
		name += ".list"
	}
	list, err := sources.Parse(name, text)
	if err != nil {
		return nil, "", err
	}
	return b.openSources(ctx, list, nil, b.o.Host.Debian, false, b.o.From)
}

// openSources opens sources that name the architecture as; keys is the root where keyrings are looked for first.
func (b *builder) openSources(ctx context.Context, list []sources.Source, keys *os.File, as string, expired bool, words string) (Repository, string, error) {
	config := b.o.Config
	config.Sources, config.Arch, config.For, config.Root, config.Cache = list, b.o.Host.Debian, as, keys, b.o.Cache
	config.AllowExpired = config.AllowExpired || expired
	config.Progress = func(p repo.Progress) { b.progress(p.Files, p.All, p.What) }
	r, err := repo.Open(ctx, config)
	if err != nil {
		return nil, "", err
	}
	b.warn(r.Skipped)
	b.warnings = append(b.warnings, r.Warnings...)
	return r, words, nil
}

func (b *builder) warn(list []error) {
	for _, err := range list {
		b.warnings = append(b.warnings, err.Error())
	}
}

// sameRelease says whether two roots are of the same release of the same distribution (os-release(5)).
func sameRelease(a, b *os.File) bool {
	x, y := readRelease(a), readRelease(b)
	return x != "" && x == y
}

// readRelease is ID and VERSION_CODENAME, "" if one is missing.
func readRelease(root *os.File) string {
	const largest = 64 << 10
	text, err := fd.ReadFile(root, "etc/os-release", largest)
	if err != nil {
		if text, err = fd.ReadFile(root, "usr/lib/os-release", largest); err != nil {
			return ""
		}
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[key] = strings.Trim(value, `"'`)
		}
	}
	id, name := fields["ID"], fields["VERSION_CODENAME"]
	if id == "" || name == "" {
		return ""
	}
	return id + " " + name
}
