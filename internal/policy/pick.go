package policy

import (
	"path"
	"slices"
	"strings"
)

// ArgCase is a decision for certain arguments, its conditions already resolved.
type ArgCase struct {
	Called     []string `json:"called,omitempty"`
	Verb       []string `json:"verb,omitempty"`
	Args       []string `json:"args,omitempty"`
	NoOperands bool     `json:"no_operands,omitempty"`
	Then       Decision `json:"then"`
}

// Pick returns the decision for one call. argv is the whole argument vector, the program's name first;
// for a script the name is the script's and its arguments follow; for an applet that a multi-call
// program was told by its first argument, that argument counts as the name. It never returns ByArgs.
//
// The words after the name are read so: words up to "--" that begin with "-" and are longer than "-"
// are options; the word after an option listed in Valued belongs to that option; the others are
// operands. Of a case, Called matches the base name of argv[0] without a leading "-", Verb the first
// operand, and NoOperands holds when there is none. Args are matched, each against one whole word
// (options, values and operands alike), in their order, with any words before, between and after. In
// all of them a pattern is a glob in which "*" also matches "/".
func Pick(d Decision, argv []string) Decision {
	cases, valued := d.ByArgs, d.Valued
	d.ByArgs, d.Valued = nil, nil
	name, argv := called(d.Applet, argv)
	operands := operands(argv, valued)
	for _, c := range cases {
		if c.matches(name, argv, operands) {
			return c.Then
		}
	}
	return d
}

// called splits the name from the arguments.
func called(applet string, argv []string) (name string, words []string) {
	if len(argv) == 0 {
		return "", nil
	}
	name = strings.TrimPrefix(path.Base(argv[0]), "-")
	if applet != "" && name != applet && len(argv) > 1 && argv[1] == applet {
		return applet, argv[2:]
	}
	return name, argv[1:]
}

func (c ArgCase) matches(name string, words, operands []string) bool {
	switch {
	case len(c.Called) > 0 && !anyGlob(c.Called, name):
		return false
	case c.NoOperands && len(operands) > 0:
		return false
	case len(c.Verb) > 0 && (len(operands) == 0 || !anyGlob(c.Verb, operands[0])):
		return false
	}
	return subsequence(c.Args, words)
}

func operands(words, valued []string) []string {
	var found []string
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case word == "--":
			return append(found, words[i+1:]...)
		case len(word) > 1 && word[0] == '-':
			if slices.Contains(valued, word) {
				i++
			}
		default:
			found = append(found, word)
		}
	}
	return found
}

func subsequence(patterns, words []string) bool {
	for _, pattern := range patterns {
		i := slices.IndexFunc(words, func(word string) bool { return glob(pattern, word) })
		if i < 0 {
			return false
		}
		words = words[i+1:]
	}
	return true
}

func anyGlob(patterns []string, word string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return glob(pattern, word) })
}
