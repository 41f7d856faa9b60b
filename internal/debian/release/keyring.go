package release

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Keyring holds the keys that are believed. The zero value believes nobody.
type Keyring struct {
	keys openpgp.EntityList
	only []string // fingerprints; nil: all
}

const (
	beginKey = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	endKey   = "-----END PGP PUBLIC KEY BLOCK-----"
)

// Add adds the keys of a file, binary or armored in one or several blocks. Keys of unknown kinds are skipped as long as
// there is another one.
func (k *Keyring) Add(data []byte) error {
	if !bytes.Contains(data, []byte(beginKey)) {
		return k.add(bytes.NewReader(data))
	}
	for rest := string(data); ; {
		_, block, ok := strings.Cut(rest, beginKey)
		if !ok {
			return nil
		}
		block, rest, ok = strings.Cut(block, endKey)
		if !ok {
			return errors.New("read keys: armored block without an end")
		}
		b, err := armor.Decode(strings.NewReader(beginKey + block + endKey + "\n"))
		if err != nil {
			return fmt.Errorf("read keys: %w", err)
		}
		if err := k.add(b.Body); err != nil {
			return err
		}
	}
}

func (k *Keyring) add(r io.Reader) error {
	data, err := io.ReadAll(r) // armor checks its sum at the end
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	if bytes.HasPrefix(data[min(len(data), 8):], []byte("KBXf")) {
		return errors.New("read keys: a keybox of GnuPG; apt needs a plain export as well")
	}
	keys, err := openpgp.ReadKeyRing(bytes.NewReader(data))
	if err == nil && len(keys) == 0 {
		err = errors.New("none in it")
	}
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	k.keys = append(k.keys, keys...)
	return nil
}

// Len is the number of keys, not counting subkeys.
func (k *Keyring) Len() int { return len(k.keys) }

// Only returns a keyring of the keys with these fingerprints (upper-case hexadecimal): of a primary key, which stands for its
// subkeys unless ! follows, or of one subkey.
func (k *Keyring) Only(fingerprints []string) *Keyring {
	return &Keyring{keys: k.keys, only: fingerprints}
}

// candidates are the keys with an ID that may sign.
func (k *Keyring) candidates(id uint64) (keys []openpgp.Key) {
	for _, key := range k.keys.KeysById(id) {
		if self := key.SelfSignature; self == nil || self.FlagsValid && !self.FlagSign {
			continue
		} else if !self.FlagsValid && key.PublicKey != key.Entity.PrimaryKey {
			continue
		}
		if k.allows(key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (k *Keyring) allows(key openpgp.Key) bool {
	if k.only == nil {
		return true
	}
	primary, own := fingerprint(key.Entity.PrimaryKey), fingerprint(key.PublicKey)
	for _, f := range k.only {
		if exact, ok := strings.CutSuffix(f, "!"); ok && exact == own || f == own || f == primary {
			return true
		}
	}
	return false
}

func fingerprint(key *packet.PublicKey) string { return fmt.Sprintf("%X", key.Fingerprint) }

// one is a keyring of a single key.
type one struct{ key openpgp.Key }

func (o one) KeysById(id uint64) []openpgp.Key {
	if id != o.key.PublicKey.KeyId {
		return nil
	}
	return []openpgp.Key{o.key}
}
func (o one) KeysByIdUsage(id uint64, _ byte) []openpgp.Key { return o.KeysById(id) }
func (o one) DecryptionKeys() []openpgp.Key                 { return nil }
