package index

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/deb822"
)

// FromStanza reads a package of an index.
func FromStanza(s deb822.Stanza) (Package, error) {
	p := Package{
		Name: s.Get("Package"), Version: s.Get("Version"), Arch: s.Get("Architecture"),
		MultiArch: s.Get("Multi-Arch"), Essential: s.Get("Essential") == "yes",
		Priority: s.Get("Priority"), Section: s.Get("Section"),
		Filename: s.Get("Filename"), SHA256: s.Get("SHA256"),
		Depends: s.Get("Depends"), PreDepends: s.Get("Pre-Depends"), Provides: s.Get("Provides"),
	}
	var err error
	if p.Source, p.SourceVersion, err = source(s.Get("Source"), p); err != nil {
		return Package{}, err
	}
	if p.Size, err = number(s.Get("Size"), 1<<40); err != nil {
		return Package{}, fmt.Errorf("Size: %w", err)
	}
	if kib, ok := s.Lookup("Installed-Size"); ok {
		if p.InstalledSize, err = number(kib, 1<<40); err != nil {
			return Package{}, fmt.Errorf("Installed-Size: %w", err)
		}
	}
	for _, err := range []error{
		CheckName(p.Name), checkVersion(p.Version), checkArch(p.Arch), CheckSHA256(p.SHA256), checkFilename(p.Filename),
	} {
		if err != nil {
			return Package{}, err
		}
	}
	return p, nil
}

// source reads "name" or "name (version)", the field Source, which is left out when it would repeat the package's own.
func source(field string, p Package) (name, version string, err error) {
	if field == "" {
		return p.Name, p.Version, nil
	}
	name, rest, versioned := strings.Cut(field, " ")
	version = p.Version
	if versioned {
		rest = strings.TrimSpace(rest)
		if len(rest) < 3 || rest[0] != '(' || rest[len(rest)-1] != ')' {
			return "", "", fmt.Errorf("invalid Source %.60q", field)
		}
		version = rest[1 : len(rest)-1]
	}
	if err := errors.Join(CheckName(name), checkVersion(version)); err != nil {
		return "", "", fmt.Errorf("Source: %w", err)
	}
	return name, version, nil
}

// CheckName accepts package names as dpkg does (pkg_name_is_illegal: also upper case, which Policy 5.6.7 doesn't have).
func CheckName(name string) error {
	if len(name) < 2 || len(name) > 128 {
		return fmt.Errorf("invalid package name %.40q", name)
	}
	for i := range len(name) {
		if c := name[i]; !alnum(c) && (i == 0 || strings.IndexByte("+-._", c) < 0) {
			return fmt.Errorf("invalid package name %.40q", name)
		}
	}
	return nil
}

// checkVersion checks what makes a version safe in a file name; how versions compare is not known here.
func checkVersion(v string) error {
	if v == "" || len(v) > 128 || !alnum(v[0]) {
		return fmt.Errorf("invalid version %.40q", v)
	}
	for i := range len(v) {
		if c := v[i]; !alnum(c) && strings.IndexByte("+-.:~_", c) < 0 {
			return fmt.Errorf("invalid version %.40q", v)
		}
	}
	return nil
}

func checkArch(a string) error {
	if a == "" || len(a) > 32 || !alnum(a[0]) {
		return fmt.Errorf("invalid architecture %.40q", a)
	}
	for i := range len(a) {
		if c := a[i]; !alnum(c) && c != '-' {
			return fmt.Errorf("invalid architecture %.40q", a)
		}
	}
	return nil
}

// CheckSHA256 accepts 64 lower-case hexadecimal digits and nothing else.
func CheckSHA256(sum string) error {
	if sum == "" {
		return errors.New("no SHA256")
	}
	if len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
		return fmt.Errorf("invalid SHA256 %.70q", sum)
	}
	return nil
}

// checkFilename keeps a file below the repository, also when a server or proxy decodes it once more.
func checkFilename(name string) error {
	bad := fmt.Errorf("Filename %.80q leaves the repository or is no path", name)
	if name == "" || len(name) > 1024 {
		return bad
	}
	plain, err := url.PathUnescape(name)
	if err != nil || strings.Contains(plain, "%") {
		return bad
	}
	for _, p := range []string{name, plain} {
		for i := range len(p) {
			if c := p[i]; c <= ' ' || c == 0x7f || c == '\\' || c == '?' || c == '#' {
				return bad
			}
		}
		p = strings.TrimPrefix(p, "./")
		for part := range strings.SplitSeq(p, "/") {
			if part == "" || part == "." || part == ".." {
				return bad
			}
		}
		if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ":") { // a scheme
			return bad
		}
	}
	return nil
}

func number(s string, most int64) (int64, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("%.40q is no number", s)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("%.40q is too large", s)
	}
	return n, nil
}

func alnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
