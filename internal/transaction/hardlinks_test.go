package transaction

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHardLinks is A12: what happens to the other names of a file of the root.
func TestHardLinks(t *testing.T) {
	for _, c := range []struct {
		name, script string
		linked       string // names that are one file afterwards
		content      map[string]string
		want         []string
		warning      string
	}{
		{"written through one name", "echo y >>etc/a", "etc/a etc/b usr/share/c", map[string]string{"etc/b": "x\ny\n"},
			[]string{"changed file /etc/a", "changed file /etc/b", "changed file /usr/share/c"}, ""},
		{"written and read", "echo y >etc/a; cat etc/a etc/b", "etc/a etc/b usr/share/c", map[string]string{"usr/share/c": "y\n"}, nil, ""},
		{"mode through one name", "chmod 600 usr/share/c", "etc/a etc/b usr/share/c", nil, nil, ""},
		{"written through one, another deleted", "echo y >etc/a; rm etc/b", "etc/a usr/share/c", nil, nil, ""},
		{"written through one, another replaced", "echo y >etc/a; echo z >n; mv n etc/b", "etc/a usr/share/c", map[string]string{"etc/b": "z\n"}, nil, ""},
		{"linked once more", "ln etc/a etc/d", "etc/a etc/b etc/d usr/share/c", nil, nil, ""},
		{"one name deleted", "rm etc/b", "etc/a usr/share/c", nil, []string{"deleted file /etc/b"}, ""},
		// Known difference: on a plain file system the moved name stays a link.
		{"one name renamed", "mv etc/b etc/d", "etc/a usr/share/c", map[string]string{"etc/d": "x\n"}, nil, ""},
		{"all replaced together", "echo y >n; mv n etc/a; ln -f etc/a etc/b; ln -f etc/a usr/share/c", "etc/a etc/b usr/share/c", nil, nil, ""},
		{"opened only", ": >>etc/a", "etc/a etc/b usr/share/c", nil, []string{}, ""},
		{"one name replaced", "echo y >n; mv n etc/a", "etc/b usr/share/c", map[string]string{"etc/a": "y\n", "etc/b": "x\n"}, nil, "was replaced"},
		{"written separately", "echo y >etc/a; echo z >etc/b", "", map[string]string{"etc/a": "y\n", "etc/b": "z\n"}, nil, "separate files"},
	} {
		for _, spool := range []string{"tmpfs", "disk"} {
			t.Run(spool+"/"+c.name, func(t *testing.T) {
				l := newLab(t, "disk", spool)
				sh(t, l.root, "mkdir -p etc usr/share; echo x >etc/a; ln etc/a etc/b; ln etc/a usr/share/c; touch -d @1234.5 etc/a; touch -d @99 etc usr/share .")
				l.run(func(m string) { sh(t, m, c.script) })
				p := l.commit()
				checkLinks(t, l, strings.Fields(c.linked))
				for name, want := range c.content {
					if got := read(t, l.root+"/"+name); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				if d := cmp.Diff(c.want, list(p)); c.want != nil && len(c.want)+len(list(p)) > 0 && d != "" {
					t.Errorf("changes (-want +got):\n%s", d)
				}
				w := strings.Join(p.Warnings(), "\n")
				if (c.warning == "") != (w == "") || !strings.Contains(w, c.warning) {
					t.Errorf("warnings %q, want %q", w, c.warning)
				}
				after := manifest(t, l.root)
				for _, dir := range []string{"", "/etc", "/usr/share"} {
					if after[dir] != l.view[dir] {
						t.Errorf("directory %q: %s, seen %s", dir, after[dir], l.view[dir])
					}
				}
				noStage(t, l)
			})
		}
	}
}

func checkLinks(t *testing.T, l *lab, names []string) {
	t.Helper()
	var first os.FileInfo
	for _, name := range names {
		fi, err := os.Stat(l.root + "/" + name)
		must(t, err)
		if first == nil {
			first = fi
		}
		if !os.SameFile(first, fi) {
			t.Errorf("%s and %s are not one file", names[0], name)
		}
	}
	if first != nil && int(first.Sys().(*syscall.Stat_t).Nlink) != len(names) {
		t.Errorf("%s has %d names", names[0], first.Sys().(*syscall.Stat_t).Nlink)
	}
}
