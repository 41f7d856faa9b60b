package wrap

import (
	"fmt"
	"os"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/status"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/twin/state"
)

// archives is where apt and debootstrap keep the packages that they fetched for a root.
const archives = "var/cache/apt/archives"

// most bounds how many of them are looked at.
const most = 5000

// unpacked are the packages, by name, of a root for which dpkg hasn't run yet: a bootstrap unpacks those that dpkg itself
// needs with tar, and the database is empty until dpkg configures them. Which they are, the archives tell; that
// one is unpacked, its directory of documents, which every package has.
func unpacked(root *os.File, architecture string) map[string]string {
	found := map[string]string{}
	names, err := fd.Readdirnames(root, archives)
	if err != nil {
		return found
	}
	for _, file := range names[:min(len(names), most)] {
		name, version, ok := parseArchive(file, architecture)
		if !ok {
			continue
		}
		if _, err := fd.Lstat(root, "usr/share/doc/"+name); err == nil {
			found[name] = version
		}
	}
	return found
}

// parseArchive reads the name of an archive as apt writes it: NAME_VERSION_ARCHITECTURE.deb, with a colon as %3a.
func parseArchive(file, architecture string) (name, version string, ok bool) {
	file, ok = strings.CutSuffix(file, "_"+architecture+".deb")
	if !ok {
		return "", "", false
	}
	name, version, ok = strings.Cut(file, "_")
	version = strings.NewReplacer("%3a", ":", "%3A", ":").Replace(version)
	if !ok || version == "" || !status.ValidName(name) || strings.ContainsAny(version, "\r\n\t %/") {
		return "", "", false
	}
	return name, version, true
}

// with adds packages to a state that lacks them; all is false as long as it lacks any.
func with(s state.State, more map[string]string, architecture string) (_ state.State, all bool, err error) {
	packages, err := s.Packages(architecture)
	if err != nil {
		return s, false, err
	}
	has := map[string]bool{}
	for _, p := range packages {
		has[p.Name] = true
	}
	var text strings.Builder
	for name, version := range more {
		if !has[name] {
			fmt.Fprintf(&text, "\nPackage: %s\nStatus: install ok unpacked\nArchitecture: %s\nVersion: %s\n", name, architecture, version)
		}
	}
	if text.Len() == 0 {
		return s, true, nil
	}
	s.Status = append(append([]byte{}, s.Status...), text.String()...)
	return s, false, nil
}
