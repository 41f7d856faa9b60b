package twin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crossroot/crossroot/internal/arch"
	. "github.com/crossroot/crossroot/internal/debian/archive/debmake"
	"github.com/crossroot/crossroot/internal/debian/repo"
)

// publish lays a repository of one package below the root's /repo, without a signature.
func (l *lab) publish(archs string) {
	deb := Deb(ControlTar("tool", "1", "amd64"), Tar(Member{Name: "./usr/bin/tool", Content: "tool"}))
	l.write("repo/pool/tool.deb", string(deb))
	packages := fmt.Sprintf("Package: tool\nVersion: 1\nArchitecture: amd64\nFilename: pool/tool.deb\nSize: %d\nSHA256: %x\n", len(deb), sha256.Sum256(deb))
	l.write("repo/dists/test/main/binary-amd64/Packages", packages)
	l.write("repo/dists/test/Release", fmt.Sprintf("Suite: test\nCodename: test\nDate: %s\nArchitectures: %s\nComponents: main\nSHA256:\n %x %d main/binary-amd64/Packages\n",
		time.Now().UTC().Add(-time.Hour).Format(time.RFC1123), archs, sha256.Sum256([]byte(packages)), len(packages)))
}

func (l *lab) fromApt(o Options) (*Twin, error) {
	l.T.Helper()
	root, err := os.Open(l.root)
	if err != nil {
		l.T.Fatal(err)
	}
	defer root.Close()
	o.Cache = l.cache
	o.Target, _ = arch.Lookup("armhf")
	o.Host, _ = arch.Lookup("amd64")
	twin, err := Open(context.Background(), root, o)
	if err == nil {
		l.T.Cleanup(func() { twin.Close() })
	}
	return twin, err
}

func TestRootsSources(t *testing.T) {
	l := newLab(t)
	l.publish("amd64 armhf")
	l.install("tool=1")
	l.write("etc/apt/sources.list", "deb [arch=armhf] file:/repo test main\n")
	var failed *repo.Error
	if _, err := l.fromApt(Options{}); !errors.As(err, &failed) || failed.Kind != repo.Unsigned {
		t.Errorf("without a signature: %v", err)
	}
	twin, err := l.fromApt(Options{Config: repo.Config{AllowUnsigned: true}})
	if err != nil {
		t.Fatal(err)
	}
	if twin.From != "the root's sources" || list(t, twin.Dir)["usr/bin/tool"] != "tool" || len(twin.Warnings) == 0 {
		t.Errorf("%+v", twin)
	}
}

// Where the root's sources are of no use the machine's aren't taken unless they are of the same release.
func TestNoSources(t *testing.T) {
	l := newLab(t)
	l.publish("armhf")
	l.install("tool=1")
	l.write("etc/os-release", "ID=other\nVERSION_CODENAME=other\n")
	var failed *repo.Error
	if _, err := l.fromApt(Options{}); !errors.As(err, &failed) || failed.Kind != repo.NoSource {
		t.Errorf("no sources: %v", err)
	}
	l.write("etc/apt/sources.list", "deb cdrom:[a]/ test main\n")
	l.write("etc/apt/sources.list.d/x.list", "hello\n")
	if _, err := l.fromApt(Options{}); !errors.As(err, &failed) || failed.Kind != repo.NoSource || !strings.Contains(err.Error(), "not understood: /etc/apt/sources.list:1: ") {
		t.Errorf("sources that can't be understood: %v", err)
	}
	l.write("etc/apt/sources.list.d/x.list", "")
	l.write("etc/apt/sources.list", "deb [arch=armhf trusted=yes] file:/repo test main\n")
	if _, err := l.fromApt(Options{}); !errors.As(err, &failed) || failed.Kind != repo.NoArch {
		t.Errorf("not for this machine's CPU: %v", err)
	}
	l.write("etc/apt/sources.list", "deb [arch=armhf trusted=yes] file:/repo none main\n")
	if _, err := l.fromApt(Options{From: "root"}); !errors.As(err, &failed) || failed.Kind != repo.NoSuite {
		t.Errorf("no such suite: %v", err)
	}
}

// What is no file of reasonable size is refused at once.
func TestSourcesOfOddFile(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(syscall.Mkfifo(dir+"/fifo", 0o600), os.WriteFile(dir+"/huge", nil, 0o600), os.Truncate(dir+"/huge", 64<<30)); err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	l.install("a=1")
	for _, name := range []string{dir + "/fifo", dir + "/huge", dir, "/dev/zero", dir + "/none"} {
		if _, err := l.fromApt(Options{From: name}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSourcesOfFile(t *testing.T) {
	l := newLab(t)
	l.publish("amd64")
	l.install("tool=1")
	dir := t.TempDir()
	name := filepath.Join(dir, "mine")
	for file, text := range map[string]string{
		name:              "deb [trusted=yes] file:" + l.root + "/repo test main\n",
		name + ".sources": "Types: deb\nURIs: file:" + l.root + "/repo\nSuites: test\nComponents: main\nTrusted: yes\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l.cache = filepath.Join(t.TempDir(), "cache")
		twin, err := l.fromApt(Options{From: file})
		if err != nil {
			t.Fatal(err)
		}
		if twin.From != file || twin.Packages != 1 {
			t.Errorf("%+v", twin)
		}
	}
	if err := os.WriteFile(name, []byte("deb nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.cache = filepath.Join(t.TempDir(), "cache")
	if _, err := l.fromApt(Options{From: name}); err == nil || !strings.Contains(err.Error(), "mine.list") && !strings.Contains(err.Error(), "mine") {
		t.Errorf("a file that is none: %v", err)
	}
	if _, err := l.fromApt(Options{From: dir + "/none"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
