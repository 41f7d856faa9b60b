package roots

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/crossroot/crossroot/internal/tree"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

func TestPickSource(t *testing.T) {
	tests := []struct {
		out  string
		want source
		ok   bool
	}{
		{"main noble-updates a://b/\nmain noble a://c/\nmain jammy a://d/\n", source{mirror: "a://c/", suite: "noble"}, true},
		{"contrib noble a://c/\nmain noble-security a://c/\n", source{}, false},
		{"", source{}, false},
	}
	for _, tt := range tests {
		if got, ok := pickSource(tt.out); got != tt.want || ok != tt.ok {
			t.Errorf("%q: %+v, %v", tt.out, got, ok)
		}
	}
}

func TestSignedBy(t *testing.T) {
	const sources = `# Signed-By: /no
Types: deb
URIs: a://x a://y/
Signed-By: /keys/one.gpg

Types: deb
URIs: a://z
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
`
	for mirror, want := range map[string]string{"a://x/": "/keys/one.gpg", "a://y/": "/keys/one.gpg", "a://z": "", "a://q": ""} {
		if got := signedBy(sources, mirror); got != want {
			t.Errorf("%s: %q, want %q", mirror, got, want)
		}
	}
}

// A copy is the cached root, times included; a user's has no device nodes.
func TestCopy(t *testing.T) {
	first, root := FirstStage(t, "armhf")
	m, err := Scan(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range tree.Compare(first.Manifest, m, tree.CompareOptions{Times: true}) {
		if os.Getuid() != 0 && (strings.HasPrefix(d.A, "char") || d.Path == "dev" && d.Aspect == tree.Times) {
			continue
		}
		t.Error(d)
	}
	if len(m.Entries) < 5000 {
		t.Errorf("only %d entries", len(m.Entries))
	}
	data, err := ReadFile(t.Context(), root, "debootstrap/arch")
	if err != nil || string(data) != "armhf\n" {
		t.Errorf("debootstrap/arch is %q, %v", data, err)
	}
	again, err := first.ReadFile(t.Context(), "debootstrap/arch")
	if err != nil || !bytes.Equal(data, again) {
		t.Errorf("debootstrap/arch is %q in the tar, %v", again, err)
	}
}

// The chroot runs foreign programs, and the host does not notice.
func TestChroot(t *testing.T) {
	before := host(t)
	_, root := FirstStage(t, "armhf")
	arch, err := Lookup("armhf")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = Chroot{Root: root, Arch: arch}.Run(t.Context(), &out, "/bin/sh", "-c", "uname -m; id -u; echo x >/dev/null && exec env uname -m")
	if err != nil || out.String() != "armv7l\n0\narmv7l\n" {
		t.Errorf("%q, %v", &out, err)
	}
	err = Chroot{Root: root, Arch: arch}.Run(t.Context(), nil, "/bin/sh", "-c", "echo reason; exit 7")
	if err == nil || !strings.Contains(err.Error(), "exit status 7\nreason") {
		t.Errorf("error: %v", err)
	}
	out.Reset()
	err = Chroot{Root: root, Arch: arch, Proot: true}.Run(t.Context(), &out, "/bin/uname", "-m")
	if err != nil || out.String() != "armv7l\n" {
		t.Errorf("proot: %q, %v", &out, err)
	}
	if after := host(t); after != before {
		t.Errorf("host before: %s\nafter: %s", before, after)
	}
}

// host is what a chroot could leave behind.
func host(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	handlers, _ := os.ReadDir("/proc/sys/fs/binfmt_misc")
	for _, h := range handlers {
		mounts = append(mounts, h.Name()+"\n"...)
	}
	return string(mounts)
}
