package ldconfig

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/rootpath"
)

// The oracle is the ldconfig of a real Debian root, run by qemu-user. The
// packages come from the mirror that this machine's apt uses.

// packages have libraries with links to set, and glibc's own.
var packages = []string{
	"libc6", "libc-bin", "zlib1g", "libssl3", "libpcre2-8-0", "libselinux1", "libstdc++6", "libgcc-s1", "libsystemd0",
	"libapt-pkg6.0", "libatomic1",
}

// architectures of the release that differ in what ldconfig does. More can be
// named in CROSSROOT_ORACLE (armel mipsel ppc64el …).
var architectures = append([]string{"armhf", "arm64", "i386", "s390x", "mips64el"}, strings.Fields(os.Getenv("CROSSROOT_ORACLE"))...)

func TestOracle(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: downloads packages")
	}
	for _, name := range architectures {
		t.Run(name, func(t *testing.T) {
			a, ok := arch.Lookup(name)
			if !ok {
				t.Fatal("unknown architecture")
			}
			r := &roots{debs: download(t, a.Debian)}
			r.template = r.unpack(t)
			t.Run("fresh", func(t *testing.T) { compare(t, a, r, func(string) {}, "-v") })
			t.Run("quiet", func(t *testing.T) { compare(t, a, r, func(string) {}) })
			t.Run("links kept", func(t *testing.T) { compare(t, a, r, hostile(t), "-X", "-v") })
			t.Run("hostile", func(t *testing.T) { compare(t, a, r, hostile(t), "-v") })
			t.Run("compat", func(t *testing.T) { compare(t, a, r, func(string) {}, "-c", "compat") })
			t.Run("directory", func(t *testing.T) { compare(t, a, r, func(string) {}, "-n", "-v", "/usr/lib/"+a.Triplet) })
			t.Run("added directory", func(t *testing.T) { compare(t, a, r, hostile(t), "/opt/lib") })
			t.Run("aux cache", func(t *testing.T) { compareAux(t, a, r) })
		})
	}
}

// compare runs both on the same content and compares everything.
func compare(t *testing.T, a arch.Arch, roots *roots, prepare func(root string), args ...string) {
	theirs, ours := roots.unpack(t), roots.unpack(t)
	prepare(theirs)
	prepare(ours)
	want := oracle(t, a, theirs, args...)
	var out, errs bytes.Buffer
	code := Main(append([]string{"ldconfig"}, args...), ours, &out, &errs)
	got := result{out.String(), errs.String(), code}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("output (-theirs +ours):\n%s", d)
	}
	if d := cmp.Diff(links(t, theirs), links(t, ours)); d != "" {
		t.Errorf("files (-theirs +ours):\n%s", d)
	}
	sameFile(t, theirs, ours, "etc/ld.so.cache")
	if code == 0 {
		samePrint(t, a, theirs)
	}
}

// samePrint compares ldconfig -p.
func samePrint(t *testing.T, a arch.Arch, root string) {
	want := oracle(t, a, root, "-p")
	var out, errs bytes.Buffer
	code := Main([]string{"ldconfig", "-p"}, root, &out, &errs)
	if d := cmp.Diff(want, result{out.String(), errs.String(), code}); d != "" {
		t.Errorf("-p (-theirs +ours):\n%s", d)
	}
}

// compareAux uses one root, because the auxiliary cache has inode numbers.
func compareAux(t *testing.T, a arch.Arch, roots *roots) {
	root := roots.unpack(t)
	oracle(t, a, root) // sets the links
	for _, step := range []string{"new", "used again"} {
		saved := read(t, root, auxFile)
		if step == "new" {
			saved = nil
		}
		write(t, root, auxFile, saved)
		oracle(t, a, root)
		want := withoutPadding(t, root, read(t, root, auxFile))
		write(t, root, auxFile, saved)
		if code := Main([]string{"ldconfig"}, root, os.Stdout, os.Stderr); code != 0 {
			t.Fatalf("exit status %d", code)
		}
		if got := read(t, root, auxFile); !bytes.Equal(got, want) {
			t.Errorf("%s: auxiliary cache of %d bytes, want %d", step, len(got), len(want))
		}
	}
}

// withoutPadding clears the bytes behind each entry's 44: the original writes
// what its memory happens to hold there.
func withoutPadding(t *testing.T, root string, b []byte) []byte {
	tree := must2(rootpath.Open(root))
	defer tree.Close()
	f, err := readFacts(tree)
	check(t, err)
	size := f.auxEntrySize()
	for i := range int(f.order.Uint32(b[24:])) {
		clear(b[auxHeader+i*size+44 : auxHeader+(i+1)*size])
	}
	return b
}

// roots makes roots for one architecture.
type roots struct {
	debs     []string
	template string
}

type result struct {
	Out, Err string
	Code     int
}

func oracle(t *testing.T, a arch.Arch, root string, args ...string) result {
	t.Helper()
	qemu, err := exec.LookPath("qemu-" + a.Qemu + "-static")
	if err != nil {
		if qemu, err = exec.LookPath("qemu-" + a.Qemu); err != nil {
			t.Fatalf("install qemu-user-static: %v", err)
		}
	}
	cmd := exec.Command(qemu, append([]string{"-0", "ldconfig", root + "/sbin/ldconfig", "-r", root}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	if uid := os.Geteuid(); uid != 0 { // -r needs chroot
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		}
	}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// hostile adds what is seldom seen to a root.
func hostile(t *testing.T) func(root string) {
	return func(root string) {
		lib, err := filepath.EvalSymlinks(must(filepath.Glob(root + "/usr/lib/*/libz.so.1"))[0])
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(lib)
		zlib := must2(os.ReadFile(lib))
		for _, d := range []string{
			"/opt/lib", "/usr/local/lib", "/etc/ld.so.conf.d/more", "/usr/local/lib/glibc-hwcaps/x86-64-v3", "/usr/local/lib/glibc-hwcaps/empty",
			"/usr/local/lib/glibc-hwcaps/power9", "/usr/local/lib/tls", "/usr/local/lib/neon/vfp", "/usr/local/lib/atomics",
			"/usr/local/lib/i686", "/usr/local/lib/z13", "/usr/local/lib/octeon2", "/usr/local/lib/power8", "/usr/local/lib/libdir.so.1",
			"/usr/local/lib/glibc-hwcaps/.hidden", "/usr/local/lib/glibc-hwcaps/a:b",
		} {
			check(t, os.MkdirAll(root+d, 0o755))
		}
		for _, d := range []string{
			"", "/glibc-hwcaps/x86-64-v3", "/glibc-hwcaps/power9", "/tls", "/neon/vfp", "/neon", "/atomics", "/i686", "/z13", "/octeon2",
			"/power8",
		} {
			check(t, os.WriteFile(root+"/usr/local/lib"+d+"/libz.so.1.9", zlib, 0o644))
			check(t, os.WriteFile(root+"/usr/local/lib"+d+"/libz.so.1.10", zlib, 0o644))
		}
		for name, content := range map[string]string{
			"/opt/lib/libempty.so.1": "", "/opt/lib/libscript.so": "/* GNU ld script */ GROUP ( x )", "/opt/lib/libshort.so": "\x7fEL",
			"/opt/lib/libtext.so.1": strings.Repeat("text ", 100), "/opt/lib/libx.so.1-gdb.py": strings.Repeat("# py ", 20),
			"/opt/lib/libhalf.so.1": string(zlib[:200]), "/opt/lib/libz.so.1.#prelink#": string(zlib), "/opt/lib/notlib.so": "x",
			"/opt/lib/libhost.so.1":         string(must2(os.ReadFile(must2(os.Executable())))[:8192]),
			"/etc/ld.so.conf.d/a.conf":      "# comment\n  /opt/lib   # here\n\n/nowhere\ninclude more/*.conf  /etc/none*\nhwcap 0 nosegneg\n",
			"/etc/ld.so.conf.d/.b.conf":     "/hidden\n",
			"/etc/ld.so.conf.d/more/c.conf": "/opt/lib=libc6\n/usr/local/lib/\n/opt//lib///\n/opt/lib=odd\n",
		} {
			check(t, os.WriteFile(root+name, []byte(content), 0o644))
		}
		for name, target := range map[string]string{
			"/opt/lib/libz.so.1": "nowhere", "/opt/lib/libgone.so.3": "nowhere", "/opt/lib/libgone.so": "nowhere",
			"/opt/lib/libabs.so.1": "/usr/local/lib/libz.so.1.9", "/opt/lib/libodd.so": "../../usr/local/lib/libz.so.1.10",
			"/opt/lib/libloop.so.1": "libloop.so.1", "/usr/local/lib/libz.so.1": "libz.so.1.9", "/usr/local/lib/libz.so": "libz.so.1.10",
			"/opt/lib/libtodir.so.1": "/usr/local/lib",
		} {
			check(t, os.Symlink(target, root+name))
		}
		check(t, os.Remove(dir+"/libz.so.1"))
		check(t, os.WriteFile(dir+"/libz.so.1", zlib, 0o644)) // not a link
	}
}

// links lists all entries below root with their type and link target.
func links(t *testing.T, root string) (list []string) {
	check(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := ""
		if d.Type()&fs.ModeSymlink != 0 {
			if target, err = os.Readlink(p); err != nil {
				return err
			}
		}
		list = append(list, fmt.Sprint(strings.TrimPrefix(p, root), " ", info.Mode(), " ", target))
		return nil
	}))
	return list
}

func sameFile(t *testing.T, theirs, ours, name string) {
	want, err1 := os.ReadFile(filepath.Join(theirs, name))
	got, err2 := os.ReadFile(filepath.Join(ours, name))
	if (err1 == nil) != (err2 == nil) || !bytes.Equal(want, got) {
		t.Errorf("%s differs: %d bytes, theirs has %d (%v %v)", name, len(got), len(want), err2, err1)
	}
}

// download fetches the packages for one architecture, once.
func download(t *testing.T, debian string) []string {
	cache := must2(os.UserCacheDir()) + "/crossroot-test/ldconfig-" + debian
	find := func() []string {
		debs := must(filepath.Glob(cache + "/*.deb"))
		slices.Sort(debs)
		return debs
	}
	if debs := find(); len(debs) == len(packages) {
		return debs
	}
	for _, d := range []string{"/state/lists/partial", "/cache/archives/partial"} {
		check(t, os.MkdirAll(cache+d, 0o755))
	}
	apt := func(args ...string) error {
		options := []string{
			"-qq", "-o", "APT::Architecture=" + debian, "-o", "APT::Architectures=" + debian, "-o", "Dir::State=" + cache + "/state",
			"-o", "Dir::Cache=" + cache + "/cache", "-o", "Dir::State::status=/dev/null", "-o", "Acquire::Languages=none",
			"-o", "APT::Sandbox::User=",
		}
		cmd := exec.Command("apt-get", append(options, args...)...)
		cmd.Dir = cache
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	if err := apt("update"); err != nil {
		t.Log(err) // a part of the lists is enough
	}
	check(t, apt(append([]string{"download"}, packages...)...))
	return find()
}

// unpack makes a root with merged /usr: from the packages once, then by copy.
func (m *roots) unpack(t *testing.T) string {
	root := t.TempDir()
	if m.template != "" {
		out, err := exec.Command("cp", "-a", m.template+"/.", root).CombinedOutput()
		if err != nil {
			t.Fatalf("copy root: %v\n%s", err, out)
		}
		return root
	}
	for _, d := range []string{"bin", "sbin", "lib", "lib64", "lib32"} {
		check(t, os.MkdirAll(root+"/usr/"+d, 0o755))
		check(t, os.Symlink("usr/"+d, root+"/"+d))
	}
	check(t, os.MkdirAll(root+"/var/cache", 0o755))
	for _, deb := range m.debs {
		pack := exec.Command("dpkg-deb", "--fsys-tarfile", deb)
		tar := exec.Command("tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", root, "--exclude=./usr/share/*", "--exclude=*/gconv")
		tar.Stdin = must2(pack.StdoutPipe())
		check(t, pack.Start())
		if out, err := tar.CombinedOutput(); err != nil {
			t.Fatalf("unpack %s: %v\n%s", deb, err, out)
		}
		check(t, pack.Wait())
	}
	return root
}

func read(t *testing.T, root, name string) []byte {
	b, err := os.ReadFile(root + name)
	check(t, err)
	return b
}

// write replaces a file, or removes it for nil.
func write(t *testing.T, root, name string, b []byte) {
	check(t, os.Remove(root+name))
	if b != nil {
		check(t, os.WriteFile(root+name, b, 0o600))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must(v []string, err error) []string { return must2(v, err) }

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
