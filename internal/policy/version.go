package policy

import (
	"regexp"
	"strings"
)

// Values of Row.Version, Row.Libc and Row.Identity.
const (
	versionAny      = "any"
	versionSeries   = "series"
	versionUpstream = "upstream"
	versionFull     = "full"

	libcSame = "same"

	identityShown   = "shown"   // it only tells the name: near fidelity may ignore it
	identityDecides = "decides" // it acts upon the name
)

var (
	binaryRebuild = regexp.MustCompile(`\+b\d+\b`)
	repackaged    = regexp.MustCompile(`[+~.](dfsg|ds|debian)[.\d]*$`)
	stableUpdate  = regexp.MustCompile(`[+~]deb\d+u\d+$`)
	lastPart      = regexp.MustCompile(`^(\d+(?:\.\d+)*)\.\d+$`)
)

// significant reduces a version to the part that must be equal.
//
//   - full: all but a rebuild mark of Debian's build daemons ("+b2"), which differs between
//     architectures for the same source;
//   - upstream: also without epoch, Debian revision, and marks of repackaging and of stable updates
//     ("1:9.1+dfsg-2+b1" is 9.1);
//   - series: also without the last number ("1.21.22" is 1.21).
func significant(version, rule string) string {
	version = binaryRebuild.ReplaceAllString(strings.TrimSpace(version), "")
	if rule == versionFull {
		return version
	}
	if epoch, rest, ok := strings.Cut(version, ":"); ok && strings.Trim(epoch, "0123456789") == "" {
		version = rest
	}
	if i := strings.LastIndexByte(version, '-'); i > 0 {
		version = version[:i]
	}
	version = repackaged.ReplaceAllString(stableUpdate.ReplaceAllString(version, ""), "")
	if rule == versionSeries {
		version = lastPart.ReplaceAllString(version, "$1")
	}
	return version
}

// SameUpstream reports whether two versions are known and equal by the rule "upstream".
func SameUpstream(a, b string) bool {
	return a != "" && significant(a, versionUpstream) == significant(b, versionUpstream)
}
