package release

import (
	"bytes"
	"crypto"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

var made = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)

func config(at time.Time, lifetime uint32) *packet.Config {
	return &packet.Config{Time: func() time.Time { return at }, KeyLifetimeSecs: lifetime, DefaultHash: crypto.SHA256, RSABits: 2048, Algorithm: packet.PubKeyAlgoEdDSA}
}

func newKey(t testing.TB, name string, lifetime uint32) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@m.test", config(made, lifetime))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.AddSigningSubkey(config(made, lifetime)); err != nil {
		t.Fatal(err)
	}
	return e
}

var keys = sync.OnceValue(func() map[string]*openpgp.Entity {
	t := &testing.T{}
	return map[string]*openpgp.Entity{"a": newKey(t, "a", 0), "b": newKey(t, "b", 0), "short": newKey(t, "short", 86400)}
})

func ring(t testing.TB, names ...string) *Keyring {
	t.Helper()
	var b bytes.Buffer
	for _, n := range names {
		if err := keys()[n].Serialize(&b); err != nil {
			t.Fatal(err)
		}
	}
	k := &Keyring{}
	if len(names) > 0 {
		if err := k.Add(b.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func clear(t testing.TB, text string, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	var private []*packet.PrivateKey
	for _, n := range names {
		key, ok := keys()[n].SigningKey(made)
		if !ok {
			t.Fatal("no signing key")
		}
		private = append(private, key.PrivateKey)
	}
	w, err := clearsign.EncodeMulti(&b, private, config(made.Add(time.Hour), 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(strings.TrimSuffix(text, "\n"))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

func detached(t testing.TB, text, name string) string {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&b, keys()[name], strings.NewReader(text), config(made.Add(time.Hour), 0)); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

var now = made.AddDate(0, 0, 10)

func TestVerifyClear(t *testing.T) {
	const text = "A: b\n- dash\n-dash\nC: d\n"
	for name, c := range map[string]struct {
		ring, by []string
		signers  int
	}{
		"one":             {[]string{"a"}, []string{"a"}, 1},
		"of two keys":     {[]string{"b", "a"}, []string{"a"}, 1},
		"unknown as well": {[]string{"a"}, []string{"b", "a"}, 1},
		"both":            {[]string{"a", "b"}, []string{"b", "a"}, 2},
		"expired as well": {[]string{"a", "short"}, []string{"short", "a"}, 1},
	} {
		got, by, err := ring(t, c.ring...).VerifyClear([]byte(clear(t, text, c.by...)), now)
		if err != nil || string(got) != text || len(by) != c.signers {
			t.Errorf("%s: %q by %v, %v", name, got, by, err)
		}
	}
	crlf := strings.ReplaceAll(clear(t, text, "a"), "\n", "\r\n")
	if got, _, err := ring(t, "a").VerifyClear([]byte(crlf), now); err != nil || string(got) != text {
		t.Errorf("CR LF: %q, %v", got, err)
	}
}

// A message is what was signed and nothing else (THREATS B35, B36).
func TestVerifyClearRefuses(t *testing.T) {
	good := clear(t, "A: b\nC: d\n", "a")
	other := clear(t, "A: evil\n", "b")
	text := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in the message", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	sig := good[strings.Index(good, beginSignature):]
	for name, c := range map[string]struct{ message, want string }{
		"empty":             {"", "not signed"},
		"no signature":      {"A: b\n", "not signed"},
		"a page":            {"<html></html>", "not signed"},
		"changed":           {text("C: d", "C: e"), "signature of key"},
		"line added":        {text("C: d", "C: d\nE: f"), "signature of key"},
		"before":            {"A: evil\n" + good, "not signed"},
		"blank before":      {"\n" + good, "not signed"},
		"after":             {good + "A: evil\n", "other than the end"},
		"another after":     {good + other, "dash inside a signature"},
		"another before":    {other + good, "dash inside a signature"},
		"two signatures":    {good + sig, "dash inside a signature"},
		"begin padded":      {text(beginMessage, beginMessage+" "), "not signed"},
		"signature padded":  {text(beginSignature, beginSignature+"\t"), "dash that isn't escaped"},
		"end padded":        {text(endSignature, endSignature+" "), "other than the end"},
		"dash":              {text("C: d", "-C: d"), "dash that isn't escaped"},
		"header":            {text("Hash: SHA256", "Comment: x\nHash: SHA256"), "header other than Hash"},
		"blank header line": {text("Hash: SHA256\n", "Hash: SHA256\n \nA: evil\n"), "header other than Hash"},
		"NUL":               {text("C: d", "C: \x00d"), "NUL"},
		"CR":                {text("C: d", "C: d\rE: f"), "carriage return"},
		"cut":               {good[:len(good)-len(sig)], "ends before its signature"},
		"cut later":         {good[:len(good)-40], "other than the end"},
		"empty signature":   {good[:len(good)-len(sig)] + beginSignature + "\n\n" + endSignature + "\n", ""},
		"another's":         {good[:len(good)-len(sig)] + other[strings.Index(other, beginSignature):], "signed by no key"},
	} {
		got, _, err := ring(t, "a").VerifyClear([]byte(c.message), now)
		if err == nil || !strings.Contains(err.Error(), c.want) || got != nil {
			t.Errorf("%s: %q, %v, want %s", name, got, err, c.want)
		}
	}
}

func TestVerifyKeys(t *testing.T) {
	var unknown *KeyError
	var bad *SignatureError
	one := []byte(clear(t, "A: b\n", "a"))
	if _, _, err := ring(t, "b").VerifyClear(one, now); !errors.As(err, &unknown) || len(unknown.IDs) != 1 {
		t.Errorf("unknown: %v", err)
	}
	if _, _, err := ring(t).VerifyClear(one, now); !errors.As(err, &unknown) {
		t.Errorf("no keys: %v", err)
	}
	if _, _, err := ring(t, "short").VerifyClear([]byte(clear(t, "A: b\n", "short")), now); !errors.As(err, &bad) || !bad.Worthless {
		t.Errorf("expired: %v", err)
	}
	// a good signature doesn't help when another known key says otherwise
	first, second := clear(t, "A: b\n", "a"), clear(t, "A: evil\n", "b")
	sigs := append(unarmor(t, first), unarmor(t, second)...)
	if _, err := ring(t, "a", "b").VerifyDetached(canonical([]byte("A: b\n")), sigs, now); !errors.As(err, &bad) || bad.Worthless {
		t.Errorf("one good, one bad: %v", err)
	}
	revoked := newKey(t, "revoked", 0)
	message := func() string { keys()["revoked"] = revoked; return clear(t, "A: b\n", "revoked") }()
	if err := revoked.RevokeKey(packet.KeyCompromised, "stolen", config(made.AddDate(0, 0, 1), 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring(t, "revoked").VerifyClear([]byte(message), now); !errors.As(err, &bad) {
		t.Errorf("revoked: %v", err)
	}
	if _, _, err := ring(t, "a").VerifyClear(one, made.AddDate(-1, 0, 0)); err == nil {
		t.Error("a key of the future is believed")
	}
}

func unarmor(t testing.TB, message string) []byte {
	t.Helper()
	b, err := armor.Decode(strings.NewReader(message[strings.Index(message, beginSignature):]))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(b.Body); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOnly(t *testing.T) {
	k := ring(t, "a", "b")
	_, by, err := k.VerifyClear([]byte(clear(t, "A: b\n", "a")), now)
	if err != nil || by[0].Primary == by[0].Key {
		t.Fatalf("%v, %v", by, err)
	}
	other := fingerprint(keys()["b"].PrimaryKey)
	for f, ok := range map[string]bool{by[0].Primary: true, by[0].Key: true, by[0].Key + "!": true, by[0].Primary + "!": false, other: false} {
		if _, _, err := k.Only([]string{f}).VerifyClear([]byte(clear(t, "A: b\n", "a")), now); (err == nil) != ok {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestVerifyDetached(t *testing.T) {
	const text = "A: b\n"
	good := detached(t, text, "a")
	k := ring(t, "a")
	for name, c := range map[string]struct {
		text, sig string
		ok        bool
	}{
		"good":       {text, good, true},
		"binary":     {text, string(unarmor(t, good)), true},
		"twice":      {text, string(unarmor(t, good)) + string(unarmor(t, good)), true},
		"changed":    {text + "C: d\n", good, false},
		"empty":      {text, "", false},
		"blanks":     {text, "\n\n", false},
		"before":     {text, "evil\n" + good, false},
		"after":      {text, good + "evil\n", false},
		"two blocks": {text, good + good, false},
		"garbage":    {text, "\x00\x01\x02", false},
		"binary cut": {text, string(unarmor(t, good)[:40]), false},
		"a key":      {text, string(serialized(t, "a")), false},
		"many":       {text, strings.Repeat(string(unarmor(t, good)), mostSignatures+1), false},
		"another's":  {text, detached(t, text, "b"), false},
	} {
		by, err := k.VerifyDetached([]byte(c.text), []byte(c.sig), now)
		if (err == nil) != c.ok || c.ok && len(by) == 0 {
			t.Errorf("%s: %v, %v", name, by, err)
		}
	}
}

func serialized(t testing.TB, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := keys()[name].Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWeakHash(t *testing.T) {
	var b bytes.Buffer
	c := config(made.Add(time.Hour), 0)
	c.DefaultHash = crypto.SHA1
	if err := openpgp.ArmoredDetachSign(&b, keys()["a"], strings.NewReader("A: b\n"), c); err != nil {
		t.Logf("the library doesn't even make one: %v", err)
		return
	}
	var weak *SignatureError
	_, err := ring(t, "a").VerifyDetached([]byte("A: b\n"), append(b.Bytes(), '\n'), now)
	if sigs, _ := signatures(unarmor(t, b.String())); len(sigs) == 1 && sigs[0].sig.Hash == crypto.SHA1 && (!errors.As(err, &weak) || !weak.Worthless) {
		t.Errorf("SHA-1: %v", err)
	}
}

func TestKeyringFiles(t *testing.T) {
	var armored bytes.Buffer
	for _, n := range []string{"a", "b"} {
		w, err := armor.Encode(&armored, openpgp.PublicKeyType, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(keys()[n].Serialize(w), w.Close()); err != nil {
			t.Fatal(err)
		}
		armored.WriteString("\n")
	}
	k := &Keyring{}
	if err := k.Add(armored.Bytes()); err != nil || k.Len() != 2 {
		t.Errorf("two blocks: %d, %v", k.Len(), err)
	}
	for name, data := range map[string]string{
		"empty": "", "text": "hello", "block without an end": beginKey + "\n\nabc", "cut": string(serialized(t, "a")[:30]),
		"damaged": strings.Replace(armored.String(), "\n=", "\n=AAAA", 1), "keybox": "\x00\x00\x00\x20\x01\x01\x00\x02KBXf\x00\x00\x00\x00",
	} {
		if err := (&Keyring{}).Add([]byte(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzVerifyClear(f *testing.F) {
	good := clear(f, "A: b\n- c\n", "a")
	k := ring(f, "a")
	f.Add(good)
	f.Add(strings.ReplaceAll(good, "\n", "\r\n"))
	f.Fuzz(func(t *testing.T, message string) {
		text, _, err := k.VerifyClear([]byte(message), now)
		if err == nil && string(text) != "A: b\n- c\n" {
			t.Fatalf("verified %q", text)
		}
	})
}

func FuzzKeyring(f *testing.F) {
	f.Add(serialized(f, "a"))
	message := []byte(clear(f, "A: b\n", "a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k := &Keyring{}
		if err := k.Add(data); err == nil {
			_, _, _ = k.VerifyClear(message, now)
		}
	})
}
