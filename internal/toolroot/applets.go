package toolroot

import (
	"bytes"
	"path"
	"strings"
)

// Applets finds the names in a multi-call program without running it, which
// may come from anywhere. busybox and toybox keep them as a sorted table of
// strings that starts with "[" (busybox, libbb/appletlib.c: applet_names).
// coreutils, as one program, is asked by name only.
func Applets(name string, b []byte) []string {
	if base := path.Base(name); !strings.HasPrefix(base, "busybox") && !strings.HasPrefix(base, "toybox") {
		return nil
	}
	var best []string
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte("\x00[\x00"))
		if i < 0 {
			return best
		}
		at += i
		if list := appletTable(b[at+1:]); len(list) > len(best) {
			best = list
		}
	}
}

// appletTable reads strings as long as they are names in order.
func appletTable(b []byte) (list []string) {
	for {
		word, rest, ok := bytes.Cut(b[:min(len(b), 64)], []byte{0})
		if !ok || !appletName(word) {
			return list
		}
		if len(list) > 0 && string(word) <= list[len(list)-1] {
			return list
		}
		list = append(list, string(word))
		b = b[len(word)+1:]
		_ = rest
	}
}

func appletName(word []byte) bool {
	if len(word) == 0 {
		return false
	}
	for _, c := range word {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("[-_.+", rune(c)) {
			return false
		}
	}
	return true
}
