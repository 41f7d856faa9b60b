package broker

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// rootWith makes a directory with the files given, and a broker that explains it.
func rootWith(t *testing.T, files map[string]string) *Broker {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	armhf, _ := arch.Lookup("armhf")
	return Adviser(Options{Root: root, Target: armhf, Host: arch.Host()})
}

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	z.Close()
	return b.String()
}

func TestPackageVersion(t *testing.T) {
	const status = "Package: dash\nStatus: install ok installed\nVersion: 1.0-1\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nVersion: 2.0\n\n" +
		"Package: odd\nStatus: install\nVersion: 3\n"
	tests := []struct {
		name, pkg string
		files     map[string]string
		want, how string
	}{
		{"changelog", "dash", map[string]string{
			"usr/share/doc/dash/changelog.Debian.gz": zipped("dash (0.5.12-2) unstable; urgency=low\n"), "var/lib/dpkg/status": status,
		}, "0.5.12-2", "changelog of package dash"},
		{"native package", "dpkg", map[string]string{"usr/share/doc/dpkg/changelog.gz": zipped("dpkg (1.21.22) bookworm; urgency=low\n")}, "1.21.22", "changelog of package dpkg"},
		{"database", "dash", map[string]string{"var/lib/dpkg/status": status}, "1.0-1", "package dash"},
		{"updates not merged yet", "dash", map[string]string{
			"var/lib/dpkg/status": status, "var/lib/dpkg/updates/0001": "Package: dash\nStatus: install ok unpacked\nVersion: 1.1-1\n",
		}, "1.1-1", "package dash"},
		{"updates of which one is the last", "dash", map[string]string{
			"var/lib/dpkg/status":        status,
			"var/lib/dpkg/updates/0001":  "Package: dash\nStatus: install ok unpacked\nVersion: 1.1-1\n",
			"var/lib/dpkg/updates/0002":  "Package: dash\nStatus: deinstall ok config-files\nVersion: 1.1-1\n",
			"var/lib/dpkg/updates/tmp.i": "Package: dash\nStatus: install ok unpacked\nVersion: 9\n",
		}, "", ""},
		{"archive of a bootstrap", "dash", map[string]string{"var/cache/apt/archives/dash_1%3a0.5_armhf.deb": ""}, "1:0.5", "archive of package dash"},
		{"two archives tell nothing", "dash", map[string]string{"var/cache/apt/archives/dash_1_armhf.deb": "", "var/cache/apt/archives/dash_2_armhf.deb": ""}, "", ""},
		{"removed package", "gone", map[string]string{"var/lib/dpkg/status": status}, "", ""},
		{"broken stanza", "odd", map[string]string{"var/lib/dpkg/status": status}, "", ""},
		{"prefix of another name", "das", map[string]string{"var/lib/dpkg/status": status}, "", ""},
		{"changelog that is no gzip", "dash", map[string]string{"usr/share/doc/dash/changelog.Debian.gz": "dash (1) x"}, "", ""},
		{"name with a slash", "../dash", map[string]string{"var/lib/dpkg/status": status}, "", ""},
	}
	for _, tt := range tests {
		got, how := rootWith(t, tt.files).packageVersion(tt.pkg)
		if got != tt.want || how != tt.how {
			t.Errorf("%s: %q from %q, want %q from %q", tt.name, got, how, tt.want, tt.how)
		}
	}
}

// A FIFO where a file is read must not hold the broker.
func TestEvidenceDoesNotBlock(t *testing.T) {
	b := rootWith(t, map[string]string{"var/lib/dpkg/x": ""})
	if err := unix.Mkfifo(filepath.Join(b.Root.Name(), "var/lib/dpkg/status"), 0o644); err != nil {
		t.Fatal(err)
	}
	if v, _ := b.packageVersion("dash"); v != "" {
		t.Errorf("version %q out of a FIFO", v)
	}
}

func TestMissingModules(t *testing.T) {
	b := rootWith(t, map[string]string{
		"etc/nsswitch.conf":                                "passwd: files ldap # comment\ngroup: files [NOTFOUND=return] sss\nhosts: files mdns\n",
		"usr/lib/arm-linux-gnueabihf/libnss_ldap.so.2":     "",
		"etc/pam.d/common-auth":                            "auth required pam_unix.so\nauth optional pam_krb5.so\n",
		"usr/lib/arm-linux-gnueabihf/security/pam_krb5.so": "",
	})
	b.Tools = &toolroot.Index{LibDir: "/usr/lib/x86_64-linux-gnu"}
	b.ToolFile = func(string) string { return "/nonexistent" }
	if got := b.missingNSS(); got != "libnss_ldap.so.2" {
		t.Errorf("name service: %q", got)
	}
	if got := b.missingPAM(); got != "pam_krb5.so" {
		t.Errorf("PAM: %q", got)
	}
	b.ToolFile = func(string) string { return "/" }
	if got := b.missingNSS() + b.missingPAM(); got != "" {
		t.Errorf("missing %q although the tool root has all", got)
	}
}

func TestScriptPaths(t *testing.T) {
	for program, want := range map[string][]string{
		"service":                   {"/bin/service", "/sbin/service", "/usr/bin/service", "/usr/sbin/service"},
		"/usr/sbin/invoke-rc.d":     {"/usr/sbin/invoke-rc.d", "/sbin/invoke-rc.d"},
		"/etc/init.d/*":             {"/etc/init.d/*"},
		"/usr/share/debconf/fix_db": {"/usr/share/debconf/fix_db"},
	} {
		if got := scriptPaths(program); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", program, got, want)
		}
	}
}

func TestProgramsAddsTheRecordUp(t *testing.T) {
	b := rootWith(t, nil)
	b.decisions = map[string]*decided{}
	const late = "/.cr/armhf/exec/usr/bin/late/1-1-1"
	const dash, kmod, stub = "/.cr/armhf/exec/usr/bin/dash/1-2-3", "/.cr/armhf/exec/usr/bin/kmod/4-5-6", "/.cr/armhf/exec/sbin/start-stop-daemon/7-8-9"
	b.decisions[dash] = &decided{path: "/usr/bin/dash", decision: policy.Decision{Outcome: policy.Native, Row: "dash", Near: true}}
	b.decisions[kmod+".m/lsmod"] = &decided{path: "/usr/bin/kmod", applet: "lsmod", decision: policy.Decision{Outcome: policy.Emulate}}
	b.decisions[stub] = &decided{path: "/sbin/start-stop-daemon", decision: policy.Decision{Outcome: policy.Stub}, ordered: true}
	call, _ := json.Marshal(Call{Path: "/sbin/start-stop-daemon", Outcome: policy.Stub, Args: []string{"start-stop-daemon", "--start"}})
	record := strings.Join([]string{
		dash + "\tsh", dash + "\tdash", kmod + "\tlsmod", stub + "\tstart-stop-daemon", CallPrefix + string(call),
		"garbage", "", CallPrefix + "{broken", "/.cr/armhf/exec/unknown/1-1-1\tx", strings.Repeat("x", 1<<19), late + "\tlate", dash + "\ts",
	}, "\n")
	b.Record = filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(b.Record, []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	b.tally()
	// Decided otherwise from here on; the last line is whole only now, and what wasn't decided is.
	b.decisions[dash] = &decided{path: "/usr/bin/dash", decision: policy.Decision{Outcome: policy.Emulate}}
	b.decisions[late] = &decided{path: "/usr/bin/late", decision: policy.Decision{Outcome: policy.Native}}
	if err := os.WriteFile(b.Record, []byte(record+"h\n"+late+"\tlate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := b.Programs()
	want := []protocol.Program{
		{Path: "/usr/bin/dash", Outcome: policy.Native, Row: "dash", Near: true, Count: 2},
		{Path: "/usr/bin/late", Outcome: policy.Native, Count: 2},
		{Path: "/sbin/start-stop-daemon", Outcome: policy.Stub, Count: 1, Calls: []string{"start-stop-daemon --start"}},
		{Path: "/usr/bin/dash", Outcome: policy.Emulate, Count: 1},
		{Path: "/usr/bin/kmod", Applet: "lsmod", Outcome: policy.Emulate, Count: 1},
	}
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if !bytes.Equal(g, w) {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

func TestTargetPerlDir(t *testing.T) {
	d := toolroot.PerlDir{Source: "/usr/lib/x86_64-linux-gnu/perl/5.36"}
	got := targetPerlDir(d, &toolroot.Index{LibDir: "/usr/lib/x86_64-linux-gnu"}, "arm-linux-gnueabihf")
	if want := "/usr/lib/arm-linux-gnueabihf/perl/5.36"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// The database is read at a dispatch miss.
func BenchmarkDatabaseVersion(b *testing.B) {
	root, err := os.Open("/")
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	broker := Adviser(Options{Root: root, Host: arch.Host()})
	for b.Loop() {
		broker.databaseVersion("zlib1g")
	}
}
