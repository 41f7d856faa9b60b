package repo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crossroot/crossroot/internal/debian/sources"
	"github.com/crossroot/crossroot/internal/fetch"
)

const packagesGz = "dists/stable/main/binary-amd64/Packages.gz"

// spoiled are mirrors with something wrong (issue 6, "Bad input"; THREATS B32 to B37).
var spoiled = map[string]struct {
	spoil func(m *mirror, c *Config)
	want  Kind
	file  string
}{
	"unknown suite":        {func(m *mirror, _ *Config) { m.sign(); delete(m.files, "dists/stable/InRelease") }, NoSuite, "InRelease"},
	"no signature":         {func(m *mirror, _ *Config) { m.signOld(); delete(m.files, "dists/stable/Release.gpg") }, Unsigned, "Release"},
	"empty signature":      {func(m *mirror, _ *Config) { m.signOld(); m.files["dists/stable/Release.gpg"] = nil }, Unsigned, "Release"},
	"unknown key":          {func(m *mirror, _ *Config) { m.key = "other"; m.sign() }, Unsigned, "InRelease"},
	"unknown key, old":     {func(m *mirror, _ *Config) { m.key = "other"; m.signOld() }, Unsigned, "Release"},
	"page of a portal":     {func(m *mirror, _ *Config) { m.files["dists/stable/InRelease"] = []byte("<html>log in") }, Unsigned, "InRelease"},
	"not signed InRelease": {func(m *mirror, _ *Config) { m.files["dists/stable/InRelease"] = []byte(m.release()) }, Unsigned, "InRelease"},
	"changed InRelease": {func(m *mirror, _ *Config) {
		m.sign()
		m.files["dists/stable/InRelease"] = bytes.Replace(m.files["dists/stable/InRelease"], []byte("contrib"), []byte("kontrib"), 1)
	}, Forged, "InRelease"},
	"changed Release": {func(m *mirror, _ *Config) {
		m.signOld()
		m.files["dists/stable/Release"] = append(m.files["dists/stable/Release"], " x\n"...)
	}, Forged, "Release"},
	"not trusted": {func(m *mirror, c *Config) { m.sign(); no := false; c.Sources[0].Trusted = &no }, Unsigned, "InRelease"},
	"expired":     {func(m *mirror, _ *Config) { m.extra += "Valid-Until: Sun, 05 Jul 2026 00:00:00 UTC\n"; m.sign() }, Expired, "Release"},
	"future":      {func(m *mirror, _ *Config) { m.date = now.Add(time.Hour); m.sign() }, Future, "Release"},
	"no sums": {func(m *mirror, _ *Config) {
		m.files["dists/stable/InRelease"] = m.clear("Date: Sun, 05 Jul 2026 00:00:00 UTC\nMD5Sum:\n")
	}, Malformed, "InRelease"},
	"no stanza":       {func(m *mirror, _ *Config) { m.files["dists/stable/InRelease"] = m.clear("hello\n") }, Malformed, "InRelease"},
	"two stanzas":     {func(m *mirror, _ *Config) { m.files["dists/stable/InRelease"] = m.clear("A: b\n\n" + m.release()) }, Malformed, "InRelease"},
	"no component":    {func(m *mirror, _ *Config) { m.list = m.list[:2]; m.sign() }, NoComponent, "contrib/binary-amd64/Packages"},
	"no architecture": {func(m *mirror, c *Config) { m.sign(); c.Arch = "riscv64" }, NoArch, ""},
	"no source":       {func(m *mirror, c *Config) { m.sign(); c.Sources[0].Archs = []string{"armhf"} }, NoSource, ""},
	"no such scheme":  {func(m *mirror, c *Config) { m.sign(); c.Sources[0].URI = "ftp://m.test" }, NoSource, ""},
	"no keyring":      {func(m *mirror, c *Config) { m.sign(); c.Keyrings = []string{"/nonexistent.gpg"} }, Unsigned, ""},
	"index changed": {func(m *mirror, _ *Config) {
		m.sign()
		m.files[packagesGz] = bytes.ToUpper(m.files[packagesGz])
		m.gzOnly()
	}, Disagree, "main/binary-amd64/Packages.gz"},
	"index padded": {func(m *mirror, _ *Config) {
		m.sign()
		m.files[packagesGz] = append(m.files[packagesGz], make([]byte, 512)...)
		m.gzOnly()
	}, Disagree, "main/binary-amd64/Packages.gz"},
	"index cut": {func(m *mirror, _ *Config) { m.sign(); m.files[packagesGz] = m.files[packagesGz][:20]; m.gzOnly() }, Disagree, "main/binary-amd64/Packages.gz"},
	"index missing": {func(m *mirror, _ *Config) {
		m.sign()
		delete(m.files, packagesGz)
		delete(m.files, packagesGz[:len(packagesGz)-3])
	}, Gone, "main/binary-amd64/Packages"},
	"index is no gzip": {func(m *mirror, _ *Config) { m.files[packagesGz] = []byte("hello"); m.sign(); m.gzOnly() }, Malformed, "main/binary-amd64/Packages.gz"},
	"index of another": {func(m *mirror, _ *Config) { m.files[packagesGz] = gz(m.debs["contrib"]); m.sign(); m.gzOnly() }, Disagree, "main/binary-amd64/Packages.gz"},
	"gzip bomb":        {func(m *mirror, _ *Config) { m.files[packagesGz] = gz(make([]byte, 20<<20)); m.sign(); m.gzOnly() }, Disagree, "main/binary-amd64/Packages.gz"},
	"huge by its word": {func(m *mirror, _ *Config) {
		m.extra = strings.Replace(m.extra, "Codename", "X-Y: z\nCodename", 1)
		text := strings.Replace(m.release(), " "+fmt.Sprint(len(m.files[packagesGz]))+" main", " 999999999999 main", 1)
		m.files["dists/stable/InRelease"] = m.clear(text)
	}, Malformed, "main/binary-amd64/Packages"},
	"index without names": {func(m *mirror, _ *Config) { m.debs["main"] = []byte("Version: 1\n\n"); m.index("main"); m.sign() }, Malformed, "main/binary-amd64/Packages"},
	"evil name":           {func(m *mirror, _ *Config) { m.debs["main"] = []byte("Package: ../../x\n\n"); m.index("main"); m.sign() }, Malformed, "main/binary-amd64/Packages"},
	"evil file name":      {func(m *mirror, _ *Config) { m.replace("pool/main/xx_2.0_amd64.deb", "../../../../etc/passwd") }, Malformed, "main/binary-amd64/Packages"},
	"file elsewhere":      {func(m *mirror, _ *Config) { m.replace("pool/main/xx_2.0_amd64.deb", "file:///etc/passwd") }, Malformed, "main/binary-amd64/Packages"},
	"only MD5":            {func(m *mirror, _ *Config) { m.replace("SHA256:", "MD5sum:") }, Malformed, "main/binary-amd64/Packages"},
	"package changed":     {func(m *mirror, _ *Config) { m.sign(); m.files["pool/main/xx_2.0_amd64.deb"] = []byte("deb of xx 2.1") }, Disagree, "pool/main/xx_2.0_amd64.deb"},
	"package padded": {func(m *mirror, _ *Config) {
		m.sign()
		m.files["pool/main/xx_2.0_amd64.deb"] = []byte("deb of xx 2.0\x00")
	}, Disagree, "pool/main/xx_2.0_amd64.deb"},
	"package cut":       {func(m *mirror, _ *Config) { m.sign(); m.files["pool/main/xx_2.0_amd64.deb"] = []byte("deb of") }, Disagree, "pool/main/xx_2.0_amd64.deb"},
	"package missing":   {func(m *mirror, _ *Config) { m.sign(); delete(m.files, "pool/main/xx_2.0_amd64.deb") }, Gone, "pool/main/xx_2.0_amd64.deb"},
	"package too large": {func(m *mirror, _ *Config) { m.replace("Size: 13", "Size: 1000000000000") }, Local, ""},
}

// gzOnly leaves the index of main compressed only, though the Release file knows the other.
func (m *mirror) gzOnly() { delete(m.files, "dists/stable/main/binary-amd64/Packages") }

// replace changes the index of main and signs that.
func (m *mirror) replace(old, new string) {
	m.debs["main"] = bytes.ReplaceAll(m.debs["main"], []byte(old), []byte(new))
	m.index("main")
	m.sign()
}

func TestSpoiled(t *testing.T) {
	for name, c := range spoiled {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t)
			config := m.config()
			c.spoil(m, &config)
			m.write()
			_, err := get(t, config)
			var e *Error
			if !errors.As(err, &e) || e.Kind != c.want || e.File != c.file {
				t.Fatalf("%v, want %s about %q", err, c.want, c.file)
			}
			if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' }) || e.Repository == "" && c.want != NoSource && c.want != Local {
				t.Errorf("message %q", text)
			}
			files := 0
			_ = filepath.WalkDir(config.Cache+"/debian/packages", func(_ string, d os.DirEntry, _ error) error {
				if d != nil && !d.IsDir() && strings.Contains(d.Name(), "2.0") {
					files++
				}
				return nil
			})
			if files != 0 {
				t.Error("the package is in the cache")
			}
		})
	}
}

// What was here stays when the mirror goes bad, and works without it.
func TestOldStays(t *testing.T) {
	for name, c := range spoiled {
		if c.want == NoSource || c.want == NoArch || name == "no keyring" || name == "not trusted" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			m := newMirror(t).sign().write()
			config := m.config()
			before, err := get(t, config)
			if err != nil {
				t.Fatal(err)
			}
			m = &mirror{t: t, dir: m.dir, suite: m.suite, key: m.key, date: day0.AddDate(0, 0, 1), extra: m.extra, files: m.files, list: m.list, debs: m.debs}
			delete(m.files, "dists/stable/InRelease")
			m.add("main", "ww", "1")
			m.index("main")
			c.spoil(m, &config)
			m.write()
			if _, err := get(t, config); err == nil && !strings.HasPrefix(name, "package") { // xx is here already
				t.Error("no error")
			}
			if left, _ := filepath.Glob(config.Cache + "/debian/release/*/*.got"); left != nil {
				t.Errorf("left %q", left)
			}
			config.Offline = true
			after, err := get(t, config)
			if !strings.HasPrefix(name, "package") && !strings.HasPrefix(name, "evil file") && name != "file elsewhere" && name != "only MD5" { // these are found only later
				if err != nil || len(after) != len(before) || after[0] != before[0] {
					t.Errorf("%q, %v, was %q", after, err, before)
				}
			}
		})
	}
}

func TestAllow(t *testing.T) {
	for name, c := range map[string]struct {
		of       string // spoiled
		allow    func(c *Config)
		warnings bool
	}{
		"unsigned":               {"no signature", func(c *Config) { c.AllowUnsigned = true }, true},
		"unknown key":            {"unknown key", func(c *Config) { c.AllowUnsigned = true }, true},
		"old":                    {"unknown key, old", func(c *Config) { c.AllowUnsigned = true }, true},
		"trusted":                {"unknown key", func(c *Config) { yes := true; c.Sources[0].Trusted = &yes }, true},
		"expired":                {"expired", func(c *Config) { c.AllowExpired = true }, true},
		"expired, by the source": {"expired", func(c *Config) { no := false; c.Sources[0].CheckValidUntil = &no }, true},
		"future, by the source":  {"future", func(c *Config) { no := false; c.Sources[0].CheckDate = &no }, false},
	} {
		m := newMirror(t)
		config := m.config()
		spoiled[c.of].spoil(m, &config)
		m.write()
		c.allow(&config)
		for i := range 2 {
			r, err := Open(t.Context(), config)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if (len(r.Warnings) > 0) != c.warnings {
				t.Errorf("%s, time %d: warnings %q", name, i+1, r.Warnings)
			}
		}
	}
	for _, name := range []string{"changed InRelease", "changed Release", "page of a portal", "index changed", "package changed"} { // never
		m := newMirror(t)
		config := m.config()
		spoiled[name].spoil(m, &config)
		m.write()
		config.AllowUnsigned, config.AllowExpired, config.AllowRollback = true, true, true
		if _, err := get(t, config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The issue: a mirror whose index and Release disagree for one component.
func TestPartial(t *testing.T) {
	for _, name := range []string{"index changed", "index missing", "no component", "index is no gzip", "index without names"} {
		m := newMirror(t)
		config := m.config()
		spoiled[name].spoil(m, &config)
		m.write()
		config.AllowPartial = true
		r, err := Open(t.Context(), config)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var e *Error
		if len(r.Skipped) != 1 || !errors.As(r.Skipped[0], &e) || e.File == "" {
			t.Errorf("%s: skipped %v", name, r.Skipped)
		}
		xx, _ := r.Find("xx")
		yy, _ := r.Find("yy")
		if (len(xx) == 0) == (len(yy) == 0) {
			t.Errorf("%s: %d of main, %d of contrib", name, len(xx), len(yy))
		}
	}
	m := newMirror(t).sign().write()
	config := m.config()
	more, err := sources.Parse("t.list", []byte("deb file:"+t.TempDir()+" stable main"))
	if err != nil {
		t.Fatal(err)
	}
	config.Sources = append(config.Sources, more...)
	if _, err := get(t, config); err == nil {
		t.Error("a repository is missing: no error")
	}
	config.AllowPartial = true
	if _, err := get(t, config); err != nil {
		t.Error(err)
	}
	config.Sources = more
	if _, err := get(t, config); err == nil {
		t.Error("no repository at all: no error")
	}
}

// Older than what was seen (THREATS B37), also when that is no longer valid itself.
func TestRollback(t *testing.T) {
	m := newMirror(t)
	m.date, m.extra = day0.AddDate(0, 0, 2), m.extra+"Valid-Until: Thu, 09 Jul 2026 00:00:00 UTC\n"
	config := m.sign().write().config()
	config.Now = day0.AddDate(0, 0, 3)
	if _, err := get(t, config); err != nil {
		t.Fatal(err)
	}
	m.date = day0.AddDate(0, 0, 1)
	m.extra = strings.Replace(m.extra, "Valid-Until: Thu, 09 Jul", "Valid-Until: Thu, 30 Jul", 1)
	m.sign().write()
	var e *Error
	for _, at := range []time.Time{config.Now, now} {
		config.Now = at
		if _, err := get(t, config); !errors.As(err, &e) || e.Kind != Rollback {
			t.Errorf("%v: %v", at, err)
		}
	}
	config.AllowRollback = true
	if _, err := get(t, config); err != nil {
		t.Error(err)
	}
}

// The network is down: what was here is used, and that is said.
func TestUnreachable(t *testing.T) {
	m := newMirror(t).sign().write()
	config := m.config()
	down := func(j fetch.Job) *fetch.Result {
		return &fetch.Result{Err: &fetch.Error{URL: j.URL, Cause: fetch.Unreachable, Message: "down"}}
	}
	config.Fetch.(*counter).answer = down
	var e *Error
	if _, err := get(t, config); !errors.As(err, &e) || e.Kind != Unreachable {
		t.Errorf("nothing here: %v", err)
	}
	config.Fetch.(*counter).answer = nil
	if _, err := get(t, config); err != nil {
		t.Fatal(err)
	}
	config.Fetch.(*counter).answer = down
	r, err := Open(t.Context(), config)
	if err != nil || len(r.Warnings) != 1 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := get(t, config); err != nil {
		t.Error(err)
	}
}

// A message names a file once, and how many others have the same trouble; the way out is in terms of the command.
func TestMessages(t *testing.T) {
	c := newMirror(t).sign().write().config()
	c.Fetch.(*counter).answer = func(j fetch.Job) *fetch.Result {
		if !strings.HasSuffix(j.URL, ".deb") {
			return nil
		}
		return &fetch.Result{Err: &fetch.Error{URL: j.URL, Cause: fetch.NotFound, Message: "there is none"}}
	}
	_, err := get(t, c)
	if err == nil || strings.Count(err.Error(), "xx_2.0_amd64.deb") != 1 || !strings.Contains(err.Error(), ": there is none (and so with 1 more packages); ") {
		t.Errorf("two packages are missing: %v", err)
	}
	for kind, option := range map[Kind]string{
		Unsigned: "--allow-unsigned", Expired: "--allow-expired", NoComponent: "--allow-partial", Disagree: "--allow-partial",
	} {
		if text := (&Error{"r", "f", kind, errors.New("x")}).Error(); !strings.Contains(text, "crossroot tools twin "+option) {
			t.Errorf("%s: %s", kind, text)
		}
	}
}
