package release

import (
	"errors"

	pgp "github.com/ProtonMail/go-crypto/openpgp/errors"
)

// harmless says whether a signature that doesn't count may stand beside one that does: its key or itself expired, its
// key was revoked, or it is weak. Anything else means that the text isn't what the key's owner signed.
func harmless(err error) bool {
	for _, e := range []error{pgp.ErrKeyExpired, pgp.ErrKeyRevoked, pgp.ErrSignatureExpired, errWeakHash, errWeakKey} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
