package toolroot

import (
	"bufio"
	"bytes"
	"path"
	"strings"

	"github.com/crossroot/crossroot/internal/kernel/rootfs"
)

// owner is a package and its version.
type owner struct{ name, version string }

// owners finds which packages the files (paths without links) belong to,
// according to dpkg or apk. It is for the report: what can't be read is
// unknown.
func owners(src *rootfs.Root, files map[string]bool) map[string]owner {
	found := map[string]owner{}
	for file, name := range debianOwners(src, files) {
		found[file] = name
	}
	if len(found) == 0 {
		return alpineOwners(src, files)
	}
	return found
}

const largestDB = 256 << 20

// debianOwners reads /var/lib/dpkg: status, diversions, and the lists of the
// packages' files (dpkg-query(1)).
func debianOwners(src *rootfs.Root, files map[string]bool) map[string]owner {
	versions := debianVersions(src)
	diverted := debianDiversions(src)
	found := map[string]owner{}
	for _, list := range glob(src, "/var/lib/dpkg/info/*.list") {
		b, err := readSmall(src, list, largestDB)
		if err != nil {
			continue
		}
		name := strings.TrimSuffix(path.Base(list), ".list")
		pkg, _, _ := strings.Cut(name, ":")
		for line := range bytes.Lines(b) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			if !looksLikeFile(line) {
				continue
			}
			file := string(line)
			if d, ok := diverted[file]; ok && d.by != pkg {
				file = d.to
			}
			for _, spelled := range spellings(file) {
				if files[spelled] {
					found[spelled] = owner{pkg, versions[name]}
					break
				}
			}
		}
	}
	return found
}

// looksLikeFile keeps the work small: programs and libraries.
func looksLikeFile(line []byte) bool {
	return bytes.HasPrefix(line, []byte("/usr/lib/")) || bytes.Contains(line, []byte("bin/")) ||
		bytes.HasPrefix(line, []byte("/lib"))
}

// debianVersions maps PACKAGE and PACKAGE:ARCHITECTURE to the version.
func debianVersions(src *rootfs.Root) map[string]string {
	versions := map[string]string{}
	b, err := readSmall(src, "/var/lib/dpkg/status", largestDB)
	if err != nil {
		return versions
	}
	var pkg, arch string
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch key {
		case "":
			pkg, arch = "", ""
		case "Package":
			pkg = value
		case "Architecture":
			arch = value
		case "Version":
			versions[pkg] = value
			versions[pkg+":"+arch] = value
		}
	}
	return versions
}

type diversion struct{ to, by string }

// debianDiversions reads groups of three lines: from, to, package.
func debianDiversions(src *rootfs.Root) map[string]diversion {
	list := map[string]diversion{}
	b, err := readSmall(src, "/var/lib/dpkg/diversions", largestDB)
	if err != nil {
		return list
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	var three [3]string
	for n := 0; lines.Scan(); n++ {
		three[n%3] = lines.Text()
		if n%3 == 2 {
			list[three[0]] = diversion{three[1], three[2]}
		}
	}
	return list
}

// alpineOwners reads apk's database: lines P: package, V: version, F: folder,
// R: file in it.
func alpineOwners(src *rootfs.Root, files map[string]bool) map[string]owner {
	found := map[string]owner{}
	b, err := readSmall(src, "/lib/apk/db/installed", largestDB)
	if err != nil {
		return found
	}
	var now owner
	var folder string
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		switch key {
		case "P":
			now = owner{name: value}
		case "V":
			now.version = value
		case "F":
			folder = "/" + value
		case "R":
			if file := path.Join(folder, value); files[file] {
				found[file] = now
			}
		}
	}
	return found
}
