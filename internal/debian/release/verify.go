package release

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Signer is a key that made a good signature.
type Signer struct {
	Primary string // fingerprint of the primary key, upper-case hexadecimal
	Key     string // of the key that signed, which may be a subkey
	Name    string // a user ID of the key, not verified by anybody: quote it
	Created time.Time
}

// KeyError says that no signature is by a key of the keyring.
type KeyError struct{ IDs []string } // of the keys that signed, hexadecimal

func (e *KeyError) Error() string {
	return "signed by no key of the keyring, but by " + strings.Join(e.IDs, ", ")
}

// SignatureError says what is wrong with the signature of a key that is in the keyring.
type SignatureError struct {
	Key       string // fingerprint of the primary key
	Worthless bool   // expired, revoked or weak: as if it weren't there, but no lie about the text
	Err       error
}

func (e *SignatureError) Error() string { return fmt.Sprintf("signature of key %s: %v", e.Key, e.Err) }
func (e *SignatureError) Unwrap() error { return e.Err }

// VerifyClear verifies an InRelease file and returns the text that was signed. One good signature is enough; signatures
// of unknown keys don't matter; a bad one of a known key is an error. Errors: ErrNotSigned, *KeyError, *SignatureError, and
// others for a malformed message.
func (k *Keyring) VerifyClear(message []byte, now time.Time) (text []byte, by []Signer, err error) {
	text, armored, err := split(message)
	if err != nil {
		return nil, nil, err
	}
	if by, err = k.verify(canonical(text), []byte(armored), now); err != nil {
		return nil, nil, err
	}
	return text, by, nil
}

// VerifyDetached verifies a Release file by its Release.gpg, binary or armored. Errors are VerifyClear's.
func (k *Keyring) VerifyDetached(text, signature []byte, now time.Time) (by []Signer, err error) {
	if bytes.HasPrefix(signature, []byte("-----")) {
		lines := strings.Split(strings.ReplaceAll(strings.TrimRight(string(signature), "\r\n"), "\r\n", "\n"), "\n")
		if err := oneBlock(lines, 0); err != nil {
			return nil, err
		}
		signature = []byte(strings.Join(lines, "\n") + "\n")
	}
	return k.verify(text, signature, now)
}

// mostSignatures bounds the work that a hostile file can cause.
const mostSignatures = 32

func (k *Keyring) verify(signed, signature []byte, now time.Time) (by []Signer, err error) {
	if bytes.HasPrefix(signature, []byte(beginSignature)) {
		b, err := armor.Decode(bytes.NewReader(signature))
		if err != nil {
			return nil, fmt.Errorf("read signature: %w", err)
		}
		if signature, err = io.ReadAll(b.Body); err != nil {
			return nil, fmt.Errorf("read signature: %w", err)
		}
	}
	packets, err := signatures(signature)
	if err != nil {
		return nil, err
	}
	unknown := &KeyError{}
	var worthless error // expired, revoked: as if it weren't there, but the best explanation
	for _, p := range packets {
		sig, raw := p.sig, p.raw
		id := *sig.IssuerKeyId
		candidates := k.candidates(id)
		if len(candidates) == 0 {
			unknown.IDs = append(unknown.IDs, fmt.Sprintf("%016X", id))
		}
		var last error
		for _, key := range candidates {
			if last = check(key, sig, raw, signed, now); last == nil {
				by = append(by, signer(key, sig))
				break
			}
			last = &SignatureError{fingerprint(key.Entity.PrimaryKey), harmless(last), last}
		}
		if last != nil && !harmless(last) {
			return nil, last
		}
		worthless = errors.Join(worthless, last)
	}
	switch {
	case len(by) > 0:
		return by, nil
	case worthless != nil:
		return nil, worthless
	case len(unknown.IDs) > 0:
		return nil, unknown
	}
	return nil, ErrNotSigned
}

type signaturePacket struct {
	sig *packet.Signature
	raw []byte
}

// signatures splits a signature file into its packets; nothing but signatures may be there.
func signatures(data []byte) (all []signaturePacket, err error) {
	r := packet.NewOpaqueReader(bytes.NewReader(data))
	for {
		o, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read signature: %w", err)
		}
		if len(all) == mostSignatures {
			return nil, fmt.Errorf("more than %d signatures", mostSignatures)
		}
		p, err := o.Parse()
		if err != nil {
			return nil, fmt.Errorf("read signature: %w", err)
		}
		sig, ok := p.(*packet.Signature)
		if !ok {
			return nil, errors.New("read signature: something other than a signature in it")
		}
		if sig.IssuerKeyId == nil {
			return nil, errors.New("read signature: doesn't say whose it is")
		}
		var raw bytes.Buffer
		if err := o.Serialize(&raw); err != nil {
			return nil, fmt.Errorf("read signature: %w", err)
		}
		all = append(all, signaturePacket{sig, raw.Bytes()})
	}
}

var (
	errWeakHash = errors.New("made with a weak hash")
	errWeakKey  = errors.New("made with a key that is too short")
)

// strong are the hashes that signatures may be made with.
var strong = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512}

// check verifies one signature by one key.
func check(key openpgp.Key, sig *packet.Signature, raw, signed []byte, now time.Time) error {
	if !slices.Contains(strong, sig.Hash) {
		return errWeakHash
	}
	if bits, err := key.PublicKey.BitLength(); err == nil && bits < 2048 &&
		(key.PublicKey.PubKeyAlgo == packet.PubKeyAlgoRSA || key.PublicKey.PubKeyAlgo == packet.PubKeyAlgoRSASignOnly || key.PublicKey.PubKeyAlgo == packet.PubKeyAlgoDSA) {
		return errWeakKey
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	_, _, err := openpgp.VerifyDetachedSignature(one{key}, bytes.NewReader(signed), bytes.NewReader(raw), config)
	return err
}

func signer(key openpgp.Key, sig *packet.Signature) Signer {
	s := Signer{Primary: fingerprint(key.Entity.PrimaryKey), Key: fingerprint(key.PublicKey), Created: sig.CreationTime}
	if id := key.Entity.PrimaryIdentity(); id != nil {
		s.Name = id.Name
	}
	return s
}
