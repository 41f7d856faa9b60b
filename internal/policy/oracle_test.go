package policy

import (
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/crossroot/crossroot/internal/elfimage"
)

// TestVersionPatterns compares what the version patterns of the default policy find in this machine's
// own programs with what dpkg says about them. Programs that are not installed are passed over.
func TestVersionPatterns(t *testing.T) {
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		t.Skip("dpkg-query, the oracle, is missing")
	}
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	versions := installedVersions(t)
	checked := 0
	for _, row := range p.Rows() {
		if row.VersionPattern == "" || row.Script || row.Multicall || len(row.Applets) > 0 || row.Name == "localedef" {
			continue // those patterns find more than the upstream version
		}
		pattern := regexp.MustCompile(row.VersionPattern)
		for _, program := range row.Programs {
			for _, dir := range []string{"/usr/bin/", "/usr/sbin/"} {
				file := dir + path.Base(program)
				version := versions[file]
				if version == "" {
					continue
				}
				got := firstMatch(t, file, pattern)
				if got == "" {
					t.Logf("row %q: %s does not tell its version (dpkg: %s)", row.Name, file, version)
					continue
				}
				checked++
				if significant(got, row.Version) != significant(version, row.Version) {
					t.Errorf("row %q: %s says %q, dpkg %q", row.Name, file, got, version)
				}
			}
		}
	}
	t.Logf("%d programs compared", checked)
}

// installedVersions maps the canonical path of each regular file in this machine's bin directories to
// the version of the package that owns it.
func installedVersions(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Package} ${Version}\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			packages[name] = version
		}
	}
	// dpkg-query fails for a pattern that nobody owns, and tells the others all the same.
	out, _ = exec.Command("dpkg-query", "-S", "/usr/bin/*", "/usr/sbin/*", "/bin/*", "/sbin/*").Output()
	versions := map[string]string{}
	for line := range strings.Lines(string(out)) {
		owner, file, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			continue
		}
		if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() {
			continue
		}
		name, _, _ := strings.Cut(owner, ":")
		versions[Canonical(file)] = packages[name]
	}
	return versions
}

// firstMatch is how evidence is taken from an executable: the first string that matches.
func firstMatch(t *testing.T, file string, pattern *regexp.Regexp) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	image, err := elfimage.Open(f, info.Size())
	if err != nil {
		return "" // a script
	}
	version := ""
	err = image.Strings(func(_ int64, s string) bool {
		if m := pattern.FindStringSubmatch(s); m != nil {
			version = m[1]
		}
		return version == ""
	})
	if err != nil {
		t.Fatal(err)
	}
	return version
}
