package demo

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/crossroot/crossroot/internal/tree"
)

// watched are the properties of the machine that the scripts are after, each with how it is read as text.
func (d *Demo) watched() []property {
	return []property{
		{"/etc/passwd, group, hosts and shadow", func() (string, error) {
			return describe("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/shadow")
		}},
		{"/home, /var and what lies in them", func() (string, error) { return list("/home", "/var") }},
		{"a directory of canaries", d.canaries},
		{"core_pattern, host name, handlers of executables", kernel},
		{"no mount, no device node", d.traces},
		{"this process and its parent", func() (string, error) { return fmt.Sprint(os.Getpid(), os.Getppid()), nil }},
	}
}

// property is one thing that must be the same afterwards.
type property struct {
	claim string
	read  func() (string, error)
}

// snapshot reads all properties.
func (d *Demo) snapshot() (map[string]string, error) {
	all := map[string]string{}
	for _, p := range d.watched() {
		text, err := p.read()
		if err != nil {
			return nil, fmt.Errorf("look at this machine: %w", err)
		}
		all[p.claim] = text
	}
	return all, nil
}

// compare reads the properties again.
func (d *Demo) compare(before map[string]string) []Check {
	var checks []Check
	for _, p := range d.watched() {
		text, err := p.read()
		if err == nil && text != before[p.claim] {
			err = fmt.Errorf("changed from %q to %q", before[p.claim], text)
		}
		checks = append(checks, Check{p.claim, err})
	}
	return checks
}

// describe tells type, mode, size, time of change and content (as far as it may be read) of files.
func describe(names ...string) (string, error) {
	var b strings.Builder
	for _, name := range names {
		info, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&b, name, info.Mode(), info.Size(), info.ModTime().UnixNano())
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%x\n", sha256.Sum256(text))
	}
	return b.String(), nil
}

// list tells the modes and names of what lies in directories.
func list(dirs ...string) (string, error) {
	var b strings.Builder
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return "", err
		}
		for _, e := range entries {
			fmt.Fprintln(&b, dir, e.Type(), e.Name())
		}
	}
	return b.String(), nil
}

// canaries is the whole manifest of the canary directory.
func (d *Demo) canaries() (string, error) {
	dir, err := os.Open(d.Canary)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	manifest, err := tree.Scan(dir, tree.Options{})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = manifest.Write(&b)
	return b.String(), err
}

// kernel tells the settings that are the whole machine's.
func kernel() (string, error) {
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		return "", err
	}
	name, err := os.Hostname()
	if err != nil {
		return "", err
	}
	// Missing or unreadable is a state as well.
	handlers, herr := os.ReadDir("/proc/sys/fs/binfmt_misc")
	return fmt.Sprint(string(pattern), name, handlers, herr != nil), nil
}

// traces lists mounts that have to do with the demonstration, and the device node that a script makes.
func (d *Demo) traces() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	var found []string
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, filepath.Base(d.temp)) || strings.Contains(line, d.Root) || strings.Contains(line, "/.cr") {
			found = append(found, line)
		}
	}
	if _, err := os.Lstat("/dev/" + node); !errors.Is(err, fs.ErrNotExist) {
		found = append(found, "/dev/"+node)
	}
	return strings.Join(found, ""), nil
}
