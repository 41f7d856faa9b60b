package cli_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// syntax is a verb as its help describes it.
type syntax struct {
	options     map[string]string // name with dashes to its value's name, "" for none
	least, most int               // arguments; most < 0: any number
	first       []string          // words that the first argument must be one of
}

// commands asks the executable for its verbs.
func commands(t *testing.T) map[string]syntax {
	t.Helper()
	all := map[string]syntax{}
	for _, m := range regexp.MustCompile(`(?m)^  crossroot (\S+)`).FindAllStringSubmatch(help(t), -1) {
		all[m[1]] = readHelp(t, help(t, m[1]))
	}
	return all
}

func help(t *testing.T, verb ...string) string {
	t.Helper()
	out, err := exec.Command(filepath.Join(shared, "bin", "crossroot"), append([]string{"help"}, verb...)...).Output()
	if err != nil {
		t.Fatalf("crossroot help %s: %v", verb, err)
	}
	return string(out)
}

// readHelp reads the usage line and the list of options.
func readHelp(t *testing.T, text string) syntax {
	t.Helper()
	c := syntax{options: map[string]string{}}
	usage, rest, ok := strings.Cut(strings.TrimPrefix(text, "Usage: crossroot "), "\n")
	if !ok {
		t.Fatalf("no usage in %q", text)
	}
	for _, word := range strings.Fields(usage)[1:] {
		switch {
		case word == "[options]", word == "[--]":
		case strings.Contains(word, "…"):
			c.most = -1
		case strings.HasPrefix(word, "["):
			c.most++
			if word == strings.ToLower(word) {
				c.first = strings.Split(strings.Trim(word, "[]"), "|")
			}
		default:
			c.least, c.most = c.least+1, c.most+1
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^  (--?[a-z][a-z-]*)(?: (\S+))?  +\S`).FindAllStringSubmatch(rest+"\n", -1) {
		c.options[m[1]] = m[2]
	}
	for _, m := range regexp.MustCompile(`(?m)^  (--[a-z][a-z-]*) (\S+) \S`).FindAllStringSubmatch(rest+"\n", -1) {
		c.options[m[1]] = m[2] // too long for its column
	}
	return c
}

// check says what is wrong with a command line; counts: whether the number of arguments matters.
func (c syntax) check(words []string, counts bool) string {
	var arguments []string
	for len(words) > 0 && (strings.HasPrefix(words[0], "-") || c.first != nil) {
		word := words[0]
		words = words[1:]
		if !strings.HasPrefix(word, "-") {
			arguments = append(arguments, word)
			continue
		}
		value, ok := c.options[word]
		switch {
		case !ok:
			return "no option " + word
		case value == "":
			continue
		case len(words) == 0:
			return word + " has no value"
		case value == strings.ToLower(value) && !slices.Contains(strings.Split(value, "|"), words[0]):
			return word + " " + words[0] + " is none of " + value
		}
		words = words[1:]
	}
	arguments = append(arguments, words...)
	switch {
	case c.first != nil && len(arguments) > 0 && !slices.Contains(c.first, arguments[0]):
		return "no action " + arguments[0]
	case counts && (len(arguments) < c.least || c.most >= 0 && len(arguments) > c.most):
		return "wrong number of arguments"
	}
	return ""
}

// Every verb has a manual page, which describes its options and no others.
func TestPagesOfVerbs(t *testing.T) {
	tag := regexp.MustCompile(`(?m)^\.(?:TP.*|TQ)\n(.*)$`)
	option := regexp.MustCompile(`(?:^|[\s"])(--?[a-z][a-z-]*)`)
	for verb, c := range commands(t) {
		if len(c.options) == 0 { // those are in crossroot(1)
			if !strings.Contains(page(t, "crossroot.1"), "crossroot "+verb) {
				t.Errorf("crossroot.1 doesn't mention %s", verb)
			}
			continue
		}
		_, text, _ := strings.Cut(page(t, "crossroot-"+verb+".1"), "\n.SH OPTIONS\n")
		text, _, _ = strings.Cut(text, "\n.SH ")
		described := map[string]bool{}
		for _, m := range tag.FindAllStringSubmatch(text, -1) {
			for _, o := range option.FindAllStringSubmatch(m[1], -1) {
				described[o[1]] = true
			}
		}
		for _, o := range slices.Sorted(maps.Keys(c.options)) {
			if !described[o] {
				t.Errorf("crossroot-%s.1 doesn't describe %s", verb, o)
			}
		}
		for _, o := range slices.Sorted(maps.Keys(described)) {
			if _, ok := c.options[o]; !ok {
				t.Errorf("crossroot-%s.1 describes %s, which there isn't", verb, o)
			}
		}
	}
}

// page is the source of a manual page, with plain dashes.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../man", name))
	if err != nil {
		t.Error(err)
	}
	return strings.ReplaceAll(string(text), `\-`, "-")
}

// Manual pages refer to pages that exist, and groff has nothing to say about them.
func TestPagesRender(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("groff is missing")
	}
	pages, _ := filepath.Glob("../../man/*.[1-8]")
	if len(pages) == 0 {
		t.Fatal("no pages")
	}
	for _, p := range pages {
		for _, m := range regexp.MustCompile(`(crossroot[a-z-]*) \(([1-8])\)`).FindAllStringSubmatch(page(t, filepath.Base(p)), -1) {
			if _, err := os.Stat(filepath.Join("../../man", m[1]+"."+m[2])); err != nil {
				t.Errorf("%s refers to %s(%s), which there isn't", filepath.Base(p), m[1], m[2])
			}
		}
		cmd := exec.Command(groff, "-man", "-Tutf8", "-ww", p)
		var complaints strings.Builder
		cmd.Stderr = &complaints
		if err := cmd.Run(); err != nil || complaints.Len() > 0 {
			t.Errorf("%s: %v\n%s", filepath.Base(p), err, complaints.String())
		}
	}
}

// The command lines in the documentation are right.
func TestDocumentedCommands(t *testing.T) {
	all := commands(t)
	files, _ := filepath.Glob("../../docs/*.md")
	pages, _ := filepath.Glob("../../man/*.[1-8]")
	checked := 0
	for _, file := range append(append(files, pages...), "../../README.md", "../../SECURITY.md", "../../CHANGELOG.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range documented(file, string(text)) {
			words := shellWords(t, line.text)
			if len(words) < 2 || words[1] == "help" {
				continue
			}
			c, ok := all[words[1]]
			if !ok {
				t.Errorf("%s: no command %q: %s", filepath.Base(file), words[1], line.text)
				continue
			}
			checked++
			if wrong := c.check(words[2:], line.whole); wrong != "" {
				t.Errorf("%s: %s: %s", filepath.Base(file), line.text, wrong)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d command lines found", checked)
	}
}

// documentedLine is a command line in a text; whole: not only its beginning.
type documentedLine struct {
	text  string
	whole bool
}

// documented finds command lines: in blocks of code, and of inline code what begins with crossroot.
func documented(file, text string) []documentedLine {
	var lines []documentedLine
	if !strings.HasSuffix(file, ".md") {
		for _, b := range regexp.MustCompile(`(?ms)^\.EX$.*?^\.EE$`).FindAllString(strings.ReplaceAll(text, `\-`, "-"), -1) {
			for _, m := range regexp.MustCompile(`(?m)^crossroot .*$`).FindAllString(b, -1) {
				lines = append(lines, documentedLine{m, true})
			}
		}
		return lines
	}
	block := regexp.MustCompile("(?ms)^```.*?^```")
	for _, b := range block.FindAllString(text, -1) {
		for _, m := range regexp.MustCompile(`(?m)^(?:[$#] )?(crossroot .*)$`).FindAllStringSubmatch(b, -1) {
			lines = append(lines, documentedLine{m[1], true})
		}
	}
	prose := strings.Join(strings.Fields(block.ReplaceAllString(text, "")), " ")
	for _, m := range regexp.MustCompile("`(crossroot [a-z][^`]*)`").FindAllStringSubmatch(prose, -1) {
		lines = append(lines, documentedLine{m[1], false})
	}
	return lines
}

// shellWords splits a line as a shell does, as far as quotes and comments go, up to a pipe.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	var words []string
	for rest := strings.TrimSpace(line); rest != "" && rest[0] != '#' && rest[0] != '|'; rest = strings.TrimLeft(rest, " ") {
		word := ""
		for rest != "" && rest[0] != ' ' {
			if quote := rest[:1]; quote == "'" || quote == `"` {
				inside, after, ok := strings.Cut(rest[1:], quote)
				if !ok {
					t.Fatalf("a quote is open: %s", line)
				}
				word, rest = word+inside, after
				continue
			}
			word, rest = word+rest[:1], rest[1:]
		}
		words = append(words, word)
	}
	return words
}
