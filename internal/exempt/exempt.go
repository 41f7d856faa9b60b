// Package exempt is the list of what may differ between a root that crossroot finished and one that full emulation
// finished, each entry with its reason: logs with times in them, caches keyed by inode numbers. It promises that no
// difference passes without an entry. Pure; it knows nothing of how either root was made.
package exempt

import (
	_ "embed"
	"fmt"
	"path"
	"regexp"
	"slices"

	"github.com/BurntSushi/toml"

	"github.com/crossroot/crossroot/internal/tree"
)

//go:embed exempt.toml
var exemptTOML string

// Exemption lets one aspect of some paths differ. The fields are described in exempt.toml.
type Exemption struct {
	Path      string
	Aspect    tree.Aspect
	Mask      string
	Who       string
	Sometimes string
	Reason    string

	mask *regexp.Regexp
}

// Default reads the list that crossroot ships.
func Default() ([]Exemption, error) { return parse(exemptTOML) }

// Masked returns content without what may differ in the file at path (relative to the root), and whether an entry
// with a mask names it.
func Masked(list []Exemption, file string, content []byte) ([]byte, bool) {
	found := false
	for _, e := range list {
		if ok, err := path.Match(e.Path, file); err == nil && ok && e.mask != nil {
			content, found = e.mask.ReplaceAll(content, nil), true
		}
	}
	return content, found
}

func parse(text string) ([]Exemption, error) {
	var list struct{ Exempt []Exemption }
	meta, err := toml.Decode(text, &list)
	if err != nil {
		return nil, fmt.Errorf("parse exemptions: %w", err)
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		return nil, fmt.Errorf("parse exemptions: unknown key %s", extra[0])
	}
	for i := range list.Exempt {
		if err := list.Exempt[i].check(); err != nil {
			return nil, fmt.Errorf("exemption of %q: %w", list.Exempt[i].Path, err)
		}
	}
	return list.Exempt, nil
}

var aspects = []tree.Aspect{tree.Presence, tree.Kind, tree.Mode, tree.Owner, tree.Content, tree.Target, tree.Device,
	tree.Links, tree.Xattrs}

func (e *Exemption) check() (err error) {
	if _, err := path.Match(e.Path, ""); err != nil {
		return err
	}
	switch {
	case e.Path == "":
		return fmt.Errorf("no path")
	case e.Reason == "":
		return fmt.Errorf("no reason")
	case !slices.Contains(aspects, e.Aspect):
		return fmt.Errorf("unknown aspect %q", e.Aspect)
	case e.Who != "" && e.Who != "user":
		return fmt.Errorf("unknown who %q", e.Who)
	case e.Mask == "":
		return nil
	case e.Aspect != tree.Content:
		return fmt.Errorf("a mask for aspect %s", e.Aspect)
	}
	e.mask, err = regexp.Compile(e.Mask)
	return err
}

// Trees gives the content of a file on both sides.
type Trees func(path string) (a, b []byte, err error)

// Judge splits differences: those that no exemption covers, and the exemptions that covered none though they should.
func Judge(diffs []tree.Difference, list []Exemption, user bool, content Trees) ([]tree.Difference, []Exemption, error) {
	used := make([]bool, len(list))
	var left []tree.Difference
	for _, d := range diffs {
		covered := false
		for i, e := range list {
			ok, err := e.covers(d, user, content)
			if err != nil {
				return nil, nil, err
			}
			covered, used[i] = covered || ok, used[i] || ok
		}
		if !covered {
			left = append(left, d)
		}
	}
	var unused []Exemption
	for i, e := range list {
		if !used[i] && e.Sometimes == "" && (e.Who == "" || user) {
			unused = append(unused, e)
		}
	}
	return left, unused, nil
}

func (e Exemption) covers(d tree.Difference, user bool, content Trees) (bool, error) {
	match, err := path.Match(e.Path, d.Path)
	if err != nil || !match || e.Aspect != d.Aspect || (e.Who == "user" && !user) {
		return false, err
	}
	if e.mask == nil {
		return true, nil
	}
	a, b, err := content(d.Path)
	if err != nil {
		return false, fmt.Errorf("read %q: %w", d.Path, err)
	}
	return string(e.mask.ReplaceAll(a, nil)) == string(e.mask.ReplaceAll(b, nil)), nil
}
