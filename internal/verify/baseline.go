package verify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/crossroot/crossroot/internal/session"
)

// baseline is an emulated run in a file: JSON, compressed with zstd.
type baseline struct {
	Format   int
	Made     time.Time
	Key      key
	Emulated *session.Result
	Again    []byte // manifest of a second emulated run

	file    string
	changed bool
}

const baselineFormat = 1

// Limits of a baseline: of what is read, and of what that unpacks to, in bytes.
const (
	maxPacked   = 256 << 20
	maxUnpacked = 1 << 30
)

// key is what the emulated run depends on; digests where the thing is large.
type key struct {
	Root       string // contents, owners, modes, attributes and times
	Command    []string
	Env        []string
	Workdir    string
	Hostname   string
	Network    bool
	Binds      []string
	User       bool // whether an ordinary user ran it
	Emulator   string
	Suppressed string // what the policy stubs and denies
	Exempt     string // what the manifests leave out
}

// mismatch names the first thing in which two keys differ, in words; "" if none does.
func (k key) mismatch(o key) string {
	for _, part := range []struct {
		name string
		a, b any
	}{
		{"COMMAND", k.Command, o.Command}, {"--env", k.Env, o.Env}, {"--workdir", k.Workdir, o.Workdir},
		{"--hostname", k.Hostname, o.Hostname}, {"--net", k.Network, o.Network}, {"--bind, or what it shows", k.Binds, o.Binds},
		{"user (root or not)", k.User, o.User}, {"emulator", k.Emulator, o.Emulator},
		{"policy of what is stubbed or denied", k.Suppressed, o.Suppressed}, {"list of exemptions", k.Exempt, o.Exempt},
		{"start state of ROOT", k.Root, o.Root},
	} {
		if fmt.Sprintf("%q", part.a) != fmt.Sprintf("%q", part.b) {
			return part.name
		}
	}
	return ""
}

// openBaseline reads the file if there is one, and checks that it is for this run.
func (v *verifier) openBaseline() (*baseline, error) {
	if v.o.Baseline == "" {
		return &baseline{}, nil
	}
	b := &baseline{Format: baselineFormat, file: v.o.Baseline}
	f, err := os.Open(v.o.Baseline)
	if err == nil {
		defer f.Close()
		b, err = readBaseline(f)
	} else if errors.Is(err, os.ErrNotExist) {
		err = checkPlace(v.o.Baseline)
	}
	if err != nil {
		return nil, fmt.Errorf("--baseline: %s: %w", v.o.Baseline, err)
	}
	b.file = v.o.Baseline
	if v.o.Step != nil {
		v.o.Step("reading ROOT for the baseline")
	}
	k, err := v.key()
	if err != nil {
		return nil, fmt.Errorf("--baseline: %w", err)
	}
	if b.Emulated == nil {
		b.Key = k
		return b, nil
	}
	if other := b.Key.mismatch(k); other != "" {
		return nil, fmt.Errorf("--baseline: %s is not for this run: another %s; give another file, or remove it", v.o.Baseline, other)
	}
	return b, nil
}

// checkPlace says early that a file can't be made.
func checkPlace(name string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".crossroot-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

var errNoBaseline = errors.New("no baseline of crossroot verify, or a damaged one; give another file, or remove it")

func readBaseline(r io.Reader) (*baseline, error) {
	unpack, err := zstd.NewReader(io.LimitReader(r, maxPacked), zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer unpack.Close()
	var b baseline
	if err := json.NewDecoder(io.LimitReader(unpack, maxUnpacked)).Decode(&b); err != nil {
		return nil, fmt.Errorf("%w (%w)", errNoBaseline, err)
	}
	if n, err := unpack.Read(make([]byte, 1)); n == 1 && err == nil { // the encoder ends with a newline
		_, err = unpack.Read(make([]byte, 1))
		if err != io.EOF {
			return nil, fmt.Errorf("%w (%w)", errNoBaseline, cmp.Or(err, errors.New("more than one object")))
		}
	}
	switch {
	case b.Format != baselineFormat:
		return nil, fmt.Errorf("%w (format %d)", errNoBaseline, b.Format)
	case b.Emulated == nil || b.Emulated.Report == nil:
		return nil, fmt.Errorf("%w (no run in it)", errNoBaseline)
	}
	if _, err := differences(b.Emulated.Manifest, orElse(b.Again, b.Emulated.Manifest)); err != nil {
		return nil, fmt.Errorf("%w (%w)", errNoBaseline, err)
	}
	return &b, nil
}

// wanted reports whether there is something to save. A command that can't be executed is no reference.
func (b *baseline) wanted() bool {
	return b.file != "" && b.changed && b.Emulated.Exit.Exec == ""
}

// save writes the file, whole or not at all.
func (b *baseline) save() error {
	if b.Made.IsZero() {
		b.Made = time.Now().UTC().Truncate(time.Second)
	}
	f, err := os.CreateTemp(filepath.Dir(b.file), ".crossroot-*")
	if err != nil {
		return fmt.Errorf("--baseline: %w", err)
	}
	defer os.Remove(f.Name())
	pack, err := zstd.NewWriter(f)
	if err == nil {
		err = errors.Join(json.NewEncoder(pack).Encode(b), pack.Close(), f.Chmod(0o644), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), b.file)
	}
	if err != nil {
		return fmt.Errorf("--baseline: write %s: %w", b.file, err)
	}
	return nil
}

// key describes this run.
func (v *verifier) key() (key, error) {
	o := v.run
	k := key{
		Command: o.Command, Env: o.Env, Workdir: cmp.Or(o.Workdir, "/"), Hostname: o.Hostname, Network: o.NetHost,
		User: os.Geteuid() != 0, Suppressed: digest(v.policy.Suppressed()),
	}
	var err error
	if k.Root, err = state(v.root.Path); err != nil {
		return k, err
	}
	for _, b := range o.Binds {
		s, err := state(b.Source)
		if err != nil {
			return k, err
		}
		k.Binds = append(k.Binds, fmt.Sprintf("%s %v %s", b.Target, b.ReadOnly, s))
	}
	if file := v.root.EmulatorFile(o); file != "" {
		if k.Emulator, err = digestFile(file); err != nil {
			return k, err
		}
	}
	list, err := json.Marshal(v.list)
	k.Exempt = digest(string(list))
	return k, err
}

// state is a digest of a tree, times included, or of a file.
func state(name string) (string, error) {
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		return digestFile(name)
	}
	m, err := session.Scan(name, false)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	err = m.Write(h)
	return hex.EncodeToString(h.Sum(nil)), err
}

func digestFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func orElse(a, b []byte) []byte {
	if a == nil {
		return b
	}
	return a
}
