package broker

import (
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// fittingXS are the shared objects of a directory that fit the target's modules: those whose package has the same
// version on both sides. Of those that belong to no package nothing is known; perl itself compares versions when it
// loads them.
func (b *Broker) fittingXS(d toolroot.PerlDir) (xs []string) {
	fits := map[string]bool{"": true}
	for _, name := range d.XS {
		owner := d.Owners[name]
		ok, known := fits[owner]
		if !known {
			version, _ := b.packageVersion(owner)
			// A package that the target lacks has no modules there; they may be another one's.
			ok = version == "" || policy.SameUpstream(version, b.Tools.Perl.Packages[owner])
			fits[owner] = ok
		}
		if ok {
			xs = append(xs, name)
		}
	}
	return xs
}
