package policy

import (
	"bytes"
	"regexp"
)

// locations knows which part of a policy file each line belongs to. The TOML reader does not tell
// where a value stood, so that this is read off the text: it is right for files written with
// [[row]] and [[row.case]] headers, and names an earlier line otherwise.
type locations struct {
	lines [][]byte
	rows  []int // per line: index of the row it belongs to, -1 before the first
	cases []int // per line: index of the case in its row, -1 in the row itself
}

var tableHeader = regexp.MustCompile(`^\s*\[\[\s*row\s*(\.\s*case\s*)?\]\]`)

func locate(data []byte) locations {
	l := locations{lines: bytes.Split(data, []byte("\n"))}
	row, inCase := -1, -1
	for _, line := range l.lines {
		switch header := tableHeader.FindSubmatch(line); {
		case header == nil:
		case len(header[1]) > 0:
			inCase++
		default:
			row, inCase = row+1, -1
		}
		l.rows, l.cases = append(l.rows, row), append(l.cases, inCase)
	}
	return l
}

// key is the line, from 1, of a key in a row, or in one of its cases; failing that, where the row begins.
func (l locations) key(row, inCase int, key string) int {
	word, begin := assignment(key), 0
	for i, line := range l.lines {
		if l.rows[i] != row || l.cases[i] != inCase {
			continue
		}
		if begin == 0 {
			begin = i + 1
		}
		if word.Match(line) {
			return i + 1
		}
	}
	return max(1, begin)
}

// first is the first line, from 1, that assigns a key at a depth: 0 outside of rows, 1 in a row, 2 in a case.
func (l locations) first(depth int, key string) int {
	word := assignment(key)
	for i, line := range l.lines {
		at := 0
		if l.rows[i] >= 0 {
			at++
		}
		if l.cases[i] >= 0 {
			at++
		}
		if at == min(depth, 2) && word.Match(line) {
			return i + 1
		}
	}
	inline := regexp.MustCompile(`[{,\s]["']?` + regexp.QuoteMeta(key) + `["']?\s*=`)
	for i, line := range l.lines {
		if inline.Match(line) {
			return i + 1
		}
	}
	return 1
}

// assignment matches a line that gives the key a value, or begins its table.
func assignment(key string) *regexp.Regexp {
	quoted := regexp.QuoteMeta(key)
	return regexp.MustCompile(`^\s*(\[+\s*(row\s*\.\s*)?)?["\']?` + quoted + `["\']?\s*[=\].]`)
}
