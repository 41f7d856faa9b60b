package release

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

const (
	beginMessage   = "-----BEGIN PGP SIGNED MESSAGE-----"
	beginSignature = "-----BEGIN PGP SIGNATURE-----"
	endSignature   = "-----END PGP SIGNATURE-----"
)

// ErrNotSigned: the file has no signature where one is needed, or is no such file at all (a portal's page…).
var ErrNotSigned = errors.New("not signed")

// split takes a cleartext signed message apart: text is what was signed, with \n at the end of each line, armored the
// signature. Nothing may stand before, between or after; lines that start with a dash must be escaped.
func split(message []byte) (text []byte, armored string, err error) {
	if i := bytes.IndexByte(message, 0); i >= 0 {
		return nil, "", errors.New("NUL byte in a signed message")
	}
	lines := strings.Split(strings.TrimRight(string(message), "\r\n"), "\n")
	for i, l := range lines {
		if lines[i] = strings.TrimSuffix(l, "\r"); strings.ContainsRune(lines[i], '\r') {
			return nil, "", fmt.Errorf("line %d: carriage return inside a line", i+1)
		}
	}
	if lines[0] != beginMessage {
		return nil, "", ErrNotSigned
	}
	at := 1
	for ; at < len(lines) && lines[at] != ""; at++ {
		if !strings.HasPrefix(lines[at], "Hash: ") {
			return nil, "", fmt.Errorf("line %d: header other than Hash in a signed message", at+1)
		}
	}
	var b bytes.Buffer
	for at++; ; at++ {
		if at >= len(lines) {
			return nil, "", errors.New("signed message ends before its signature")
		}
		l := lines[at]
		if l == beginSignature {
			break
		}
		if strings.HasPrefix(l, "-") {
			if l = strings.TrimPrefix(l, "- "); l == lines[at] {
				return nil, "", fmt.Errorf("line %d: starts with a dash that isn't escaped", at+1)
			}
		}
		b.WriteString(strings.TrimRight(l, " \t"))
		b.WriteByte('\n')
	}
	if err := oneBlock(lines[at:], at); err != nil {
		return nil, "", err
	}
	return b.Bytes(), strings.Join(lines[at:], "\n") + "\n", nil
}

// oneBlock checks that lines are one armored signature and nothing else; before is the number of lines before.
func oneBlock(lines []string, before int) error {
	if lines[0] != beginSignature {
		return ErrNotSigned
	}
	if lines[len(lines)-1] != endSignature {
		return fmt.Errorf("line %d: something other than the end of a signature", before+len(lines))
	}
	for i, l := range lines[1 : len(lines)-1] {
		if strings.HasPrefix(l, "-") {
			return fmt.Errorf("line %d: dash inside a signature", before+i+2)
		}
	}
	return nil
}

// canonical is the text as it was hashed: CR LF between lines, none after the last (RFC 9580, 7.1).
func canonical(text []byte) []byte {
	return bytes.ReplaceAll(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// Unverified is the text of an InRelease file for those who asked to believe anybody: without a look at the signature.
func Unverified(message []byte) (text []byte, err error) {
	text, _, err = split(message)
	return text, err
}
