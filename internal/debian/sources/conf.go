package sources

import (
	"fmt"
	"strings"
)

// ParseConf reads an apt.conf(5): the options that are set, by their full name in lower case ("acquire::check-date").
// Lists are left out. The error is an *Error.
func ParseConf(file string, data []byte) (map[string]string, error) {
	set := map[string]string{}
	var scopes []string
	var words []string
	line := 1
	for rest := string(data); rest != ""; {
		token, after, err := token(rest)
		if err != nil || len(scopes) > 100 {
			return nil, &Error{file, line, fmt.Errorf("not apt's configuration: %w", err)}
		}
		line += strings.Count(rest[:len(rest)-len(after)], "\n")
		rest = after
		switch token {
		case "":
		case "{":
			scopes = append(scopes, strings.Join(append(scopes[max(0, len(scopes)-1):], words...), "::"))
			words = nil
		case "}":
			if len(scopes) == 0 {
				return nil, &Error{file, line, fmt.Errorf("a } too many")}
			}
			scopes, words = scopes[:len(scopes)-1], nil
		case ";":
			if len(words) == 2 && !strings.HasSuffix(words[0], "::") {
				name := strings.Join(append(scopes[max(0, len(scopes)-1):], words[0]), "::")
				set[strings.ToLower(name)] = strings.Trim(words[1], `"`)
			}
			words = nil
		default:
			words = append(words, token)
		}
	}
	return set, nil
}

// token cuts the first token off: punctuation, a word, a string with its quotes, or nothing for what doesn't count.
func token(s string) (token, rest string, err error) {
	switch {
	case strings.HasPrefix(s, "//") || strings.HasPrefix(s, "#"):
		_, rest, _ = strings.Cut(s, "\n")
		return "", "\n" + rest, nil
	case strings.HasPrefix(s, "/*"):
		if i := strings.Index(s[2:], "*/"); i >= 0 {
			return "", s[2+i+2:], nil
		}
		return "", "", fmt.Errorf("a comment without an end")
	case strings.IndexByte(" \t\r\n", s[0]) >= 0:
		return "", s[1:], nil
	case strings.IndexByte("{};", s[0]) >= 0:
		return s[:1], s[1:], nil
	case s[0] == '"':
		if i := strings.IndexByte(s[1:], '"'); i >= 0 {
			return s[:i+2], s[i+2:], nil
		}
		return "", "", fmt.Errorf("a string without an end")
	}
	if i := strings.IndexAny(s, " \t\r\n{};\""); i >= 0 {
		return s[:i], s[i:], nil
	}
	return s, "", nil
}
