package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// quoteBytes keeps valid UTF-8 as it is and writes other bytes (and the backslash) as \xNN, so that a name can be read
// back exactly from JSON.
func quoteBytes(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if (r == utf8.RuneError && n == 1) || r == '\\' {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}
