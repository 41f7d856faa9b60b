package repo

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/crossroot/crossroot/internal/debian/sources"
	"github.com/crossroot/crossroot/internal/fetch"
)

var (
	day0 = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	now  = day0.AddDate(0, 0, 10)
)

func pgp(at time.Time) *packet.Config {
	return &packet.Config{Time: func() time.Time { return at }, DefaultHash: crypto.SHA256, Algorithm: packet.PubKeyAlgoEdDSA}
}

var keys = sync.OnceValue(func() map[string]*openpgp.Entity {
	all := map[string]*openpgp.Entity{}
	for _, n := range []string{"good", "other"} {
		e, err := openpgp.NewEntity(n, "", n+"@m.test", pgp(day0))
		if err != nil {
			panic(err)
		}
		all[n] = e
	}
	return all
})

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// mirror is a repository in a directory, to be spoiled before it is written.
type mirror struct {
	t     *testing.T
	dir   string
	suite string
	key   string
	date  time.Time
	extra string            // fields of the Release file
	files map[string][]byte // by path in the repository
	list  []string          // of those, what the Release file lists
	debs  map[string][]byte // by component
}

// newMirror has package xx 1.0 and 2.0 in main, yy in contrib.
func newMirror(t *testing.T) *mirror {
	m := &mirror{t: t, dir: t.TempDir(), suite: "stable", key: "good", date: day0, files: map[string][]byte{}, debs: map[string][]byte{}}
	m.extra = "Architectures: amd64 armhf\nComponents: main contrib\nCodename: stable\n"
	m.add("main", "xx", "1.0")
	m.add("main", "xx", "2.0")
	m.add("contrib", "yy", "1:3~rc1")
	m.index("main", "contrib")
	return m
}

func (m *mirror) add(component, name, version string) {
	data := []byte("deb of " + name + " " + version)
	file := fmt.Sprintf("pool/%s/%s_%s_amd64.deb", component, name, strings.ReplaceAll(version, ":", "%3a"))
	m.files[strings.ReplaceAll(file, "%3a", ":")] = data
	m.debs[component] = append(m.debs[component], fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nFilename: %s\nSize: %d\nSHA256: %s\n\n",
		name, version, file, len(data), sumOf(data))...)
}

// index makes the indexes of components, plain and compressed.
func (m *mirror) index(components ...string) {
	for _, c := range components {
		name := "dists/" + m.suite + "/" + c + "/binary-amd64/Packages"
		m.files[name], m.files[name+".gz"] = m.debs[c], gz(m.debs[c])
		for _, n := range []string{name, name + ".gz"} {
			if !slices.Contains(m.list, n) {
				m.list = append(m.list, n)
			}
		}
	}
}

// release is the text of the Release file.
func (m *mirror) release() string {
	text := m.extra + "Date: " + m.date.Format("Mon, 02 Jan 2006 15:04:05 UTC") + "\nSHA256:\n"
	for _, n := range m.list {
		text += fmt.Sprintf(" %s %d %s\n", sumOf(m.files[n]), len(m.files[n]), strings.TrimPrefix(n, "dists/"+m.suite+"/"))
	}
	return text
}

func (m *mirror) clear(text string) []byte {
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, keys()[m.key].PrivateKey, pgp(day0.Add(time.Hour)))
	if err == nil {
		_, err = w.Write([]byte(strings.TrimSuffix(text, "\n")))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// sign adds InRelease.
func (m *mirror) sign() *mirror {
	m.files["dists/"+m.suite+"/InRelease"] = m.clear(m.release())
	return m
}

// signOld adds Release and Release.gpg.
func (m *mirror) signOld() *mirror {
	text := m.release()
	var b bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&b, keys()[m.key], strings.NewReader(text), pgp(day0.Add(time.Hour))); err != nil {
		m.t.Fatal(err)
	}
	m.files["dists/"+m.suite+"/Release"], m.files["dists/"+m.suite+"/Release.gpg"] = []byte(text), append(b.Bytes(), '\n')
	return m
}

// write puts the repository as it is now into its directory.
func (m *mirror) write() *mirror {
	if err := os.RemoveAll(m.dir); err != nil {
		m.t.Fatal(err)
	}
	for _, n := range slices.Sorted(maps.Keys(m.files)) {
		name := filepath.Join(m.dir, n)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			m.t.Fatal(err)
		}
		if err := os.WriteFile(name, m.files[n], 0o644); err != nil {
			m.t.Fatal(err)
		}
	}
	return m
}

// config is for the mirror, with a cache of its own and everything that was asked for counted.
func (m *mirror) config() Config {
	keyring := filepath.Join(m.t.TempDir(), "keyring.gpg")
	var b bytes.Buffer
	if err := keys()["good"].Serialize(&b); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(keyring, b.Bytes(), 0o644); err != nil {
		m.t.Fatal(err)
	}
	all, err := sources.Parse("t.list", []byte("deb file:"+m.dir+" "+m.suite+" main contrib\n"))
	if err != nil {
		m.t.Fatal(err)
	}
	return Config{Sources: all, Arch: "amd64", Keyrings: []string{keyring}, Cache: filepath.Join(m.t.TempDir(), "cache"), Now: now, Fetch: &counter{}}
}

// counter is a Fetcher that remembers what was asked for, and may answer itself.
type counter struct {
	mu     sync.Mutex
	urls   []string
	answer func(fetch.Job) *fetch.Result
	inner  fetch.Client
}

func (c *counter) Fetch(ctx context.Context, jobs []fetch.Job, progress func(int, int64)) []fetch.Result {
	results := make([]fetch.Result, len(jobs))
	for i, j := range jobs {
		c.mu.Lock()
		c.urls = append(c.urls, j.URL)
		c.mu.Unlock()
		if c.answer != nil {
			if r := c.answer(j); r != nil {
				results[i] = *r
				continue
			}
		}
		results[i] = c.inner.Fetch(ctx, []fetch.Job{j}, nil)[0]
	}
	return results
}

// asked returns the ends of what was asked for since the last time.
func (c *counter) asked() (ends []string) {
	for _, u := range c.urls {
		ends = append(ends, u[strings.LastIndex(u, "/")+1:])
	}
	c.urls = nil
	slices.Sort(ends)
	return ends
}

// get opens the repository and gets xx and yy.
func get(t *testing.T, c Config) (paths []string, err error) {
	t.Helper()
	r, err := Open(t.Context(), c)
	if err != nil {
		return nil, err
	}
	var ps []Package
	for _, n := range []string{"xx", "yy"} {
		p, err := r.Resolve(n, "")
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
	return r.Fetch(t.Context(), ps)
}

func fingerprintOf(name string) string { return fmt.Sprintf("%X", keys()[name].PrimaryKey.Fingerprint) }
