package toolroot

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossroot/crossroot/internal/perlfarm"
)

// perlScratch is a root with the perl modules of a target.
func perlScratch(t *testing.T, r *Root, target, triplet string) (s scratch, missing []string) {
	t.Helper()
	var dirs []perlfarm.Dir
	for _, d := range r.Index.Perl.Dirs {
		inTarget := strings.Replace(d.Source, path.Base(r.Index.LibDir), triplet, 1)
		dirs = append(dirs, perlfarm.Dir{
			Name: d.Farm, Target: inTarget, Files: listFiles(t, filepath.Join(target, inTarget)),
			XS: d.XS, Objects: "/.cr/perl-xs/" + d.Farm,
		})
	}
	links, missing := perlfarm.Plan(dirs)
	s = scratch{Base: r.Base, Variant: r.Variant, Links: map[string]string{".cr/exe/perl": "/usr/bin/perl"}, Binds: map[string]string{
		"usr/lib/" + triplet: filepath.Join(target, "usr/lib", triplet), "usr/share": filepath.Join(target, "usr/share"),
	}}
	for _, l := range links {
		s.Links[path.Join(".cr/perl", l.Path)] = l.To
	}
	return s, missing
}

func listFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil
	}
	err = filepath.WalkDir(real, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(real, name)
		files = append(files, rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// fakeTarget copies the host's perl modules to where another CPU's would be,
// and lets %Config say so.
func fakeTarget(t *testing.T, r *Root, triplet string) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"usr/lib/" + triplet, "usr/share"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"perl", "perl5", "perl-base"} {
		from := filepath.Join(r.Index.LibDir, name)
		if _, err := os.Stat(from); err != nil {
			continue
		}
		if out, err := exec.Command("cp", "-a", from, filepath.Join(root, "usr/lib", triplet)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, name := range []string{"perl", "perl5"} {
		if out, err := exec.Command("cp", "-a", "/usr/share/"+name, filepath.Join(root, "usr/share")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	configs, _ := filepath.Glob(filepath.Join(root, "usr/lib", triplet, "perl*", "Config.pm"))
	more, _ := filepath.Glob(filepath.Join(root, "usr/lib", triplet, "perl", "*", "Config.pm"))
	for _, c := range append(configs, more...) {
		b, err := os.ReadFile(c)
		if err != nil {
			t.Fatal(err)
		}
		b = []byte(strings.ReplaceAll(string(b), path.Base(r.Index.LibDir), triplet))
		if err := os.WriteFile(c, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestPerl loads every binary module through the farm. CROSSROOT_PERL_ROOT and
// CROSSROOT_PERL_TRIPLET name a real foreign root with perl of the same version.
func TestPerl(t *testing.T) {
	r := openHost(t, "armhf")
	if r.Index.Perl == nil {
		t.Skip("this machine has no perl, or one of a shape that is not known")
	}
	triplet := "arm-linux-gnueabihf"
	target := os.Getenv("CROSSROOT_PERL_ROOT")
	if target == "" {
		target = fakeTarget(t, r, triplet)
	} else if name := os.Getenv("CROSSROOT_PERL_TRIPLET"); name != "" {
		triplet = name
	}
	s, missing := perlScratch(t, r, target, triplet)
	t.Logf("%d links; missing: %q", len(s.Links), missing)
	perl := func(program string) { s.Commands = append(s.Commands, []string{"/.cr/bin/perl", "-e", program}) }
	perl(`print $^X`)
	perl(`use Config; print $Config{archname}`)
	var modules []string
	for _, d := range r.Index.Perl.Dirs {
		for _, xs := range d.XS {
			if _, ok := s.Links[path.Join(".cr/perl", d.Farm, xs)]; !ok {
				continue
			}
			module := strings.ReplaceAll(strings.TrimPrefix(path.Dir(xs), "auto/"), "/", "::")
			modules = append(modules, module)
			perl("require " + module + "; print 'ok'")
		}
	}
	perl(`use POSIX; use Encode; use Digest::SHA qw(sha256_hex); use Storable qw(freeze thaw); use Time::HiRes; use List::Util qw(sum);
		print sum(map { length } sha256_hex("x"), thaw(freeze(\"abc")) ? "abc" : ""), " ", POSIX::floor(2.5), " ", encode("iso-8859-1", "\x{e4}")`)
	results := s.run(t)
	if got := results[0].Output; got != "/usr/bin/perl" {
		t.Errorf("$^X is %q", got)
	}
	if got := results[1].Output; !strings.HasPrefix(got, strings.TrimSuffix(triplet, "-gnueabihf")) {
		t.Errorf("archname is %q", got)
	}
	for i, m := range modules {
		if got := results[i+2]; got.Output != "ok" {
			t.Errorf("%s: %q %s", m, got.Output, got.Error)
		}
	}
	if got := results[len(results)-1]; got.Output != "67 2 \xe4" && got.Output != "67 2 ?" {
		t.Errorf("several modules: %q %s", got.Output, got.Error)
	}
	if len(modules) < 5 {
		t.Errorf("only %d modules", len(modules))
	}
	for i, ran := range results {
		for _, a := range ran.Paths {
			if strings.HasPrefix(a.Path, r.Index.LibDir) || strings.Contains(a.Path, triplet) && strings.HasSuffix(a.Path, ".so") {
				t.Errorf("%q: names %s", s.Commands[i], a.Path)
			}
		}
	}
}
