package perlfarm

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const armhf = "/usr/lib/arm-linux-gnueabihf/"

func TestPlan(t *testing.T) {
	base := Dir{
		Name: "perl-base", Target: armhf + "perl-base", Objects: "/.cr/perl-xs/perl-base",
		Files: []string{
			"Config.pm", "File/Spec.pm", "File/Spec/Unix.pm", "List/Util.pm", "strict.pm",
			"auto/List/Util/Util.so", "auto/POSIX/POSIX.so", "auto/POSIX/tmpnam.al", "unicore/lib/a.pl",
		},
		XS: []string{"auto/List/Util/Util.so"},
	}
	perl := Dir{
		Name: "perl", Target: armhf + "perl/5.36", Objects: "/.cr/perl-xs/perl",
		Files: []string{"auto/Opcode/Opcode.so", "../../etc/passwd", "/etc/passwd"},
		XS:    []string{"auto/POSIX/POSIX.so", "auto/List/Util/Util.so"},
	}
	links, missing := Plan([]Dir{base, perl})
	want := []Link{
		{"perl-base/Config.pm", armhf + "perl-base/Config.pm"},
		{"perl-base/File", armhf + "perl-base/File"},
		{"perl-base/List", armhf + "perl-base/List"},
		{"perl-base/auto/List/Util/Util.so", "/.cr/perl-xs/perl-base/auto/List/Util/Util.so"},
		{"perl-base/auto/POSIX/POSIX.so", "/.cr/perl-xs/perl/auto/POSIX/POSIX.so"},
		{"perl-base/auto/POSIX/tmpnam.al", armhf + "perl-base/auto/POSIX/tmpnam.al"},
		{"perl-base/strict.pm", armhf + "perl-base/strict.pm"},
		{"perl-base/unicore", armhf + "perl-base/unicore"},
	}
	if d := cmp.Diff(want, links); d != "" {
		t.Errorf("links (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{armhf + "perl/5.36/auto/Opcode/Opcode.so"}, missing); d != "" {
		t.Errorf("missing (-want +got):\n%s", d)
	}
}

func TestPlanNothing(t *testing.T) {
	if links, missing := Plan(nil); links != nil || missing != nil {
		t.Errorf("Plan(nil) = %v, %v", links, missing)
	}
}

func TestChange(t *testing.T) {
	before := []Link{{"perl5/Foo", "/t/Foo"}, {"perl5/a.pm", "/t/a.pm"}, {"perl5/gone.pm", "/t/gone.pm"}}
	after := []Link{{"perl5/Foo", "/t/new/Foo"}, {"perl5/a.pm", "/t/a.pm"}, {"perl5/b.pm", "/t/b.pm"}}
	remove, add := Change(before, after)
	if d := cmp.Diff([]Link{before[0], before[2]}, remove); d != "" {
		t.Errorf("remove (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]Link{after[0], after[2]}, add); d != "" {
		t.Errorf("add (-want +got):\n%s", d)
	}
}

func FuzzPlan(f *testing.F) {
	f.Add("auto/POSIX/POSIX.so\nPOSIX.pm\n../x\nauto/x.so", "auto/POSIX/POSIX.so")
	f.Fuzz(func(t *testing.T, files, objects string) {
		links, _ := Plan([]Dir{{Name: "perl", Target: "/t", Objects: "/o", Files: strings.Split(files, "\n"), XS: strings.Split(objects, "\n")}})
		for i, l := range links {
			if path.Clean(l.Path) != l.Path || !strings.HasPrefix(l.Path, "perl/") || !strings.HasPrefix(l.To, "/t/") && !strings.HasPrefix(l.To, "/o/") {
				t.Errorf("%+v leads out", l)
			}
			if i > 0 && links[i-1].Path >= l.Path {
				t.Errorf("%q is not before %q", links[i-1].Path, l.Path)
			}
		}
	})
}
