package broker

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/status"
	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/toolroot"
)

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// evidence finds the versions of a program on both sides: the Debian package's, from its changelog (which changes with
// the package's files, and is there before the package database during a bootstrap) or from the database; else what
// the executables themselves say.
func (b *Broker) evidence(row policy.Row, e *executable, tool toolroot.Tool) (policy.Evidence, error) {
	name := row.Package
	if name == "" {
		name = tool.Package
	}
	if tool.Package != "" && name == tool.Package {
		if v, how := b.packageVersion(name); v != "" {
			return policy.Evidence{Target: v, Tool: tool.PackageVersion, How: how}, nil
		}
	}
	if row.VersionPattern == "" {
		return policy.Evidence{Tool: tool.PackageVersion}, nil
	}
	pattern, err := regexp.Compile(row.VersionPattern)
	if err != nil {
		return policy.Evidence{}, err
	}
	target, err := embedded(e.file, pattern)
	if err != nil {
		return policy.Evidence{}, err
	}
	f, err := os.Open(b.toolFile(tool.Path))
	if err != nil {
		return policy.Evidence{}, err
	}
	defer f.Close()
	native, err := embedded(f, pattern)
	return policy.Evidence{Target: target, Tool: native, How: "the executables' own text"}, err
}

// maxSearched bounds the executables that are searched: a sparse file has any size.
const maxSearched = 256 << 20

// embedded searches an executable's strings for a version.
func embedded(f *os.File, pattern *regexp.Regexp) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if info.Size() > maxSearched {
		return "", fmt.Errorf("%d bytes are too many to search for a version", info.Size())
	}
	image, err := elfimage.Open(f, info.Size())
	if err != nil {
		return "", err
	}
	found := ""
	err = image.Strings(func(_ int64, s string) bool {
		if m := pattern.FindStringSubmatch(s); m != nil {
			found = m[1]
		}
		return found == ""
	})
	return found, err
}

// packageVersion is the version of a Debian package in the target, and where that was found.
func (b *Broker) packageVersion(name string) (version, how string) {
	if strings.ContainsAny(name, "/\x00") || name == "" {
		return "", ""
	}
	for _, file := range []string{"changelog.Debian.gz", "changelog.gz"} {
		if v := b.changelogVersion("usr/share/doc/"+name+"/"+file, name); v != "" {
			return v, "changelog of package " + name
		}
	}
	if v := b.databaseVersion(name); v != "" {
		return v, "package " + name
	}
	if v := b.archiveVersion(name); v != "" {
		return v, "archive of package " + name
	}
	return "", ""
}

// changelogVersion reads the first line of a changelog: "source (version) suite; urgency=…". A binary package whose
// version differs from its source's (perl-base of perl: the same; but gcc's libraries not) is left to the database.
func (b *Broker) changelogVersion(file, name string) string {
	f, err := fd.OpenRegular(b.Root, file)
	if err != nil {
		return ""
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return ""
	}
	line := make([]byte, 256)
	n, err := io.ReadFull(z, line)
	if err != nil && err != io.ErrUnexpectedEOF {
		return ""
	}
	source, rest, ok := bytes.Cut(line[:n], []byte(" ("))
	version, _, closed := bytes.Cut(rest, []byte(")"))
	if !ok || !closed || bytes.ContainsAny(source, "\n") || bytes.ContainsAny(version, " \n") {
		return ""
	}
	return string(version)
}

// databaseVersion looks a package up in dpkg's status, and in the updates that dpkg hasn't merged into it yet: the last
// that names it counts. It is "" when the package's files aren't there.
func (b *Broker) databaseVersion(name string) string {
	names, _ := fd.Readdirnames(b.Root, "var/lib/dpkg/updates")
	for _, u := range slices.Backward(status.Updates(names)) {
		if p, ok := b.stanza("var/lib/dpkg/updates/"+u, name); ok {
			return versionOf(p)
		}
	}
	p, _ := b.stanza("var/lib/dpkg/status", name)
	return versionOf(p)
}

func versionOf(p status.Package) string {
	if !p.HasFiles() {
		return ""
	}
	return p.Version
}

// stanza looks a package up in one file of the database.
func (b *Broker) stanza(file, name string) (status.Package, bool) {
	text, err := fd.ReadFile(b.Root, file, status.LargestFile)
	if err != nil {
		return status.Package{}, false
	}
	return status.Lookup(text, name)
}

// archiveVersion finds the one archive of a package that a bootstrap left in apt's cache.
func (b *Broker) archiveVersion(name string) string {
	names, err := fd.Readdirnames(b.Root, "var/cache/apt/archives")
	if err != nil {
		return ""
	}
	found := ""
	for _, n := range names {
		rest, ok := strings.CutPrefix(n, name+"_")
		if !ok || !strings.HasSuffix(rest, ".deb") {
			continue
		}
		version, _, ok := strings.Cut(rest, "_")
		if !ok {
			continue
		}
		version = strings.ReplaceAll(version, "%3a", ":")
		if found != "" && found != version {
			return ""
		}
		found = version
	}
	return found
}
