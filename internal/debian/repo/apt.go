package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/release"
	"github.com/crossroot/crossroot/internal/debian/sources"
	"github.com/crossroot/crossroot/internal/kernel/fd"
)

// LargestSources is how large a file of apt's configuration may be, bytes.
const LargestSources = 1 << 20

const (
	largestKeyring = 16 << 20
	mostFiles      = 1000 // in a directory
)

// Apt is apt's configuration as far as it matters here.
type Apt struct {
	Sources  []sources.Source
	Problems []error // files that can't be understood; what could be is in Sources
	Expired  bool    // Acquire::Check-Valid-Until is off
}

// ReadApt reads apt's configuration in a root.
func ReadApt(root *os.File) (Apt, error) {
	var a Apt
	names, err := files(root, "/etc/apt/sources.list", "/etc/apt/sources.list.d", ".list", ".sources")
	if err != nil {
		return a, fmt.Errorf("read apt's sources: %w", err)
	}
	for _, n := range names {
		data, err := fd.ReadFile(root, n, LargestSources)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var some []sources.Source
		if err == nil {
			some, err = sources.Parse(n, data)
		}
		if err != nil {
			a.Problems = append(a.Problems, err)
		}
		a.Sources = append(a.Sources, some...)
	}
	return a, a.readConf(root)
}

func (a *Apt) readConf(root *os.File) error {
	names, err := files(root, "", "/etc/apt/apt.conf.d", "", ".conf")
	if err != nil {
		return fmt.Errorf("read apt's configuration: %w", err)
	}
	for _, n := range append(names, "/etc/apt/apt.conf") {
		data, err := fd.ReadFile(root, n, LargestSources)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var set map[string]string
		if err == nil {
			set, err = sources.ParseConf(n, data)
		}
		if err != nil {
			a.Problems = append(a.Problems, err)
		}
		switch strings.ToLower(set["acquire::check-valid-until"]) {
		case "no", "false", "off", "0", "without", "disable":
			a.Expired = true
		case "":
		default:
			a.Expired = false
		}
	}
	return nil
}

// files lists a file and what a directory has by these endings, in order; "" stands for names without a dot.
func files(root *os.File, first, dir string, endings ...string) (all []string, err error) {
	if first != "" {
		all = append(all, first)
	}
	names, err := fd.Readdirnames(root, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, n := range names {
		if strings.HasPrefix(n, ".") || !slices.Contains(endings, path.Ext(n)) {
			continue
		}
		if len(all) > mostFiles {
			return nil, fmt.Errorf("%s has more than %d files", dir, mostFiles)
		}
		all = append(all, path.Join(dir, n))
	}
	return all, nil
}

// keyring gathers the keys that a source is believed by.
func (r *Repository) keyring(s sources.Source) (*release.Keyring, error) {
	k := &release.Keyring{}
	machine, err := os.Open("/")
	if err != nil {
		return nil, err
	}
	defer machine.Close()
	if r.config.Keyrings != nil {
		for _, name := range r.config.Keyrings {
			if name, err = filepath.Abs(name); err != nil {
				return nil, err
			}
			if err := addKeys(k, name, machine); err != nil {
				return nil, err
			}
		}
		return k, nil
	}
	if s.Key != "" {
		return k, k.Add([]byte(s.Key))
	}
	roots := []*os.File{machine}
	if r.config.Root != nil {
		roots = []*os.File{r.config.Root, machine}
	}
	var fingerprints []string
	paths := false
	for _, by := range s.SignedBy {
		if !strings.HasPrefix(by, "/") {
			fingerprints = append(fingerprints, by)
			continue
		}
		paths = true
		from := roots
		if r.config.Root != nil && !keyringDir(by) {
			from = roots[:1]
		}
		if err := addKeys(k, by, from...); err != nil {
			return nil, err
		}
	}
	if !paths {
		if err := trusted(k, roots); err != nil {
			return nil, err
		}
	}
	if fingerprints != nil {
		k = k.Only(fingerprints)
	}
	return k, nil
}

// keyringDir says whether a file lies where machines keep keyrings: a root mustn't have others of this machine's files read.
func keyringDir(name string) bool {
	name = path.Clean(name)
	return strings.HasPrefix(name, "/usr/share/keyrings/") || strings.HasPrefix(name, "/etc/apt/")
}

// addKeys adds a file of keys from the first root that has it.
func addKeys(k *release.Keyring, name string, roots ...*os.File) error {
	for _, root := range roots {
		data, err := fd.ReadFile(root, name, largestKeyring)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = k.Add(data)
		}
		if err != nil {
			return fmt.Errorf("keyring %s: %w", name, err)
		}
		return nil
	}
	return fmt.Errorf("there is no keyring %s", name)
}

// trusted adds the keys that apt believes by default, of the first root that has any.
func trusted(k *release.Keyring, roots []*os.File) error {
	for _, root := range roots {
		names, err := files(root, "/etc/apt/trusted.gpg", "/etc/apt/trusted.gpg.d", ".gpg", ".asc")
		if err != nil {
			return fmt.Errorf("read apt's keyrings: %w", err)
		}
		for _, n := range names {
			data, err := fd.ReadFile(root, n, largestKeyring)
			if err == nil && len(data) > 0 {
				_ = k.Add(data) // as apt does: one bad file mustn't stop the others
			}
		}
		if k.Len() > 0 {
			return nil
		}
	}
	return nil
}
