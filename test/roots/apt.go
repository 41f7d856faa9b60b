package roots

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// source is where the machine's own apt gets its release from.
type source struct {
	mirror  string // URI
	suite   string // codename
	keyring string // file, or empty for debootstrap's default
}

// readSource asks apt. Of several it takes the first with component main and a suite that has no part of another
// (updates, security).
func readSource(ctx context.Context) (source, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets",
		"--format", "$(COMPONENT) $(CODENAME) $(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		return source{}, fmt.Errorf("ask apt for its sources: %w", err)
	}
	s, ok := pickSource(string(out))
	if !ok {
		return source{}, fmt.Errorf("apt has no source with component main: %q", out)
	}
	files, err := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	if err != nil {
		return source{}, err
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return source{}, err
		}
		if s.keyring == "" {
			s.keyring = signedBy(string(text), s.mirror)
		}
	}
	return s, nil
}

func pickSource(indextargets string) (source, bool) {
	for line := range strings.Lines(indextargets) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "main" && !strings.Contains(f[1], "-") {
			return source{mirror: f[2], suite: f[1]}, true
		}
	}
	return source{}, false
}

// signedBy finds the keyring file of a mirror in deb822 sources (sources.list(5)); an embedded key is not one.
func signedBy(sources, mirror string) string {
	for stanza := range strings.SplitSeq(sources, "\n\n") {
		fields := map[string]string{}
		in := bufio.NewScanner(strings.NewReader(stanza))
		for in.Scan() {
			if key, value, ok := strings.Cut(in.Text(), ":"); ok && !strings.HasPrefix(key, "#") {
				fields[strings.ToLower(key)] = strings.TrimSpace(value)
			}
		}
		for uri := range strings.FieldsSeq(fields["uris"]) {
			if strings.TrimSuffix(uri, "/") == strings.TrimSuffix(mirror, "/") && filepath.IsAbs(fields["signed-by"]) {
				return fields["signed-by"]
			}
		}
	}
	return ""
}
