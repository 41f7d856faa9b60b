package policy

import (
	"strings"
	"unicode/utf8"
)

// glob reports whether the whole word matches one of the alternatives of pattern, which "|" separates:
// "*" is any run of characters ("/" included), "?" one character, "[abc]" and "[a-z]" one of a set,
// "[!abc]" one outside it; all else,
// and a "[" without "]", is literal.
func glob(pattern, word string) bool {
	for alternative := range strings.SplitSeq(pattern, "|") {
		if globAlternative(alternative, word) {
			return true
		}
	}
	return false
}

func globAlternative(pattern, word string) bool {
	backPattern, backWord := "", ""
	retry := false
	for {
		switch {
		case pattern == "" && word == "":
			return true
		case strings.HasPrefix(pattern, "*"):
			pattern = pattern[1:]
			backPattern, backWord, retry = pattern, word, true
			continue
		case pattern != "" && word != "":
			if restPattern, restWord, ok := globOne(pattern, word); ok {
				pattern, word = restPattern, restWord
				continue
			}
		}
		if !retry || backWord == "" {
			return false
		}
		_, size := utf8.DecodeRuneInString(backWord)
		backWord = backWord[size:]
		pattern, word = backPattern, backWord
	}
}

// globOne matches the first element of the pattern against the first character of the word.
func globOne(pattern, word string) (restPattern, restWord string, ok bool) {
	r, size := utf8.DecodeRuneInString(word)
	rest := word[size:]
	switch pattern[0] {
	case '?':
		return pattern[1:], rest, true
	case '[':
		if set, after, closed := strings.Cut(pattern[1:], "]"); closed {
			return after, rest, inSet(set, r)
		}
	}
	if pattern[0] != word[0] {
		return "", "", false
	}
	return pattern[1:], word[1:], true
}

func inSet(set string, r rune) bool {
	set, negated := strings.CutPrefix(set, "!")
	runes := []rune(set)
	for i := 0; i < len(runes); i++ {
		low, high := runes[i], runes[i]
		if i+2 < len(runes) && runes[i+1] == '-' {
			high = runes[i+2]
			i += 2
		}
		if low <= r && r <= high {
			return !negated
		}
	}
	return negated
}
