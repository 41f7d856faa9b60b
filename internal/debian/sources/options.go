package sources

import (
	"fmt"
	"strings"
)

// set applies an option of a one-line source or a field of a stanza, by its one-line name.
func (s *Source) set(name, value string) error {
	plain := strings.TrimRight(name, "+-")
	list := words(value)
	switch name {
	case "arch":
		s.Archs = list
	case "arch+":
		s.ArchsPlus = list
	case "arch-":
		s.ArchsMinus = list
	case "signed-by":
		if strings.Contains(value, "-----BEGIN PGP PUBLIC KEY BLOCK-----") {
			s.Key = armor(value)
			return nil
		}
		s.SignedBy = list
	case "trusted":
		return boolean(&s.Trusted, value)
	case "allow-insecure":
		return boolean(&s.AllowInsecure, value)
	case "allow-weak":
		return boolean(&s.AllowWeak, value)
	case "check-valid-until":
		return boolean(&s.CheckValidUntil, value)
	case "check-date":
		return boolean(&s.CheckDate, value)
	default:
		if !ignored[plain] {
			return fmt.Errorf("unknown option %q", name)
		}
	}
	return nil
}

// ignored are options that change neither which packages there are nor whom they are believed from: what else apt
// downloads and how, and limits on dates, which only apt's user asked for.
var ignored = map[string]bool{
	"lang": true, "target": true, "pdiffs": true, "by-hash": true, "allow-downgrade-to-insecure": true,
	"inrelease-path": true, "valid-until-min": true, "valid-until-max": true, "date-max-future": true,
	"snapshot": true, "include": true, "exclude": true,
}

// boolean reads yes and no as apt does (strutl.cc: StringToBool).
func boolean(to **bool, value string) error {
	var b bool
	switch strings.ToLower(value) {
	case "yes", "true", "with", "on", "enable", "1":
		b = true
	case "no", "false", "without", "off", "disable", "0":
	default:
		return fmt.Errorf("%q is neither yes nor no", value)
	}
	*to = &b
	return nil
}

func words(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == ',' })
}

// armor restores a key from a multi-line field, where a dot stands for an empty line.
func armor(value string) string {
	lines := strings.Split(strings.TrimSpace(value), "\n")
	for i, l := range lines {
		if lines[i] = strings.TrimSpace(l); lines[i] == "." {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "\n") + "\n"
}
