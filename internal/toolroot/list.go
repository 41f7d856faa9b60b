package toolroot

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed programs.list
var programsText string

//go:embed libraries.list
var librariesText string

// group is a section of programs.list.
type group struct {
	name     string
	identity string
	programs []string
}

// parseGroups reads the form of programs.list: words, "#" comments to the end
// of the line, and "[name key=value]" lines. A lone "[" is a word: a program.
func parseGroups(text string) ([]group, error) {
	var groups []group
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			words := strings.Fields(line[1 : len(line)-1])
			if len(words) == 0 {
				return nil, fmt.Errorf("parse programs: line %d: group without a name", n+1)
			}
			g := group{name: words[0]}
			for _, w := range words[1:] {
				key, value, _ := strings.Cut(w, "=")
				if key != "identity" {
					return nil, fmt.Errorf("parse programs: line %d: unknown key %q", n+1, key)
				}
				g.identity = value
			}
			groups = append(groups, g)
			continue
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(groups) == 0 {
			return nil, fmt.Errorf("parse programs: line %d: %q is in no group", n+1, words[0])
		}
		g := &groups[len(groups)-1]
		g.programs = append(g.programs, words...)
	}
	return groups, nil
}

// parseWords reads the form of libraries.list.
func parseWords(text string) (words []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words = append(words, strings.Fields(line)...)
	}
	return words
}
