package transaction

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestDescribe: the plan is data, in the order in which it will be carried out.
func TestDescribe(t *testing.T) {
	for spool, want := range map[string]string{
		"tmpfs": `
			stage "/a/f": 4 bytes, mode 0644 owner 0:0
			stage directory "/2"
			stage "/d/n": 2 bytes, mode 0644 owner 0:0
			stage metadata of "/d": mode 0755 owner 0:0
			stage symlink "/l"
			stage directory "/4"
			stage directory "/4/m"
			stage "/n/m/o": 2 bytes, mode 0644 owner 0:0
			stage metadata of "/n/m": mode 0755 owner 0:0
			stage link "/4/p" to "/4/m/o"
			stage metadata of "/n": mode 0755 owner 0:0
			stage "/zz/late": 2 bytes, mode 0644 owner 0:0
			replace "/a/f"
			replace "/d"
			replace "/l"
			put "/n"
			delete "/w"
			put "/zz/late"
			set metadata of "/a/b": mode 0700 owner 0:0
			set the times of "/a"
			set the times of "/zz"
			set the times of "/"`,
		"disk": `
			remove overlay attributes of "/a/f"
			move "/a/f" into the stage
			remove overlay attributes of "/d"
			move "/d" into the stage
			move "/l" into the stage
			move "/n" into the stage
			move "/zz/late" into the stage
			replace "/a/f"
			replace "/d"
			replace "/l"
			put "/n"
			delete "/w"
			put "/zz/late"
			set metadata of "/a/b": mode 0700 owner 0:0
			set the times of "/a"
			set the times of "/zz"
			set the times of "/"`,
	} {
		l, _ := busyLab(t, "disk", spool)
		p, err := l.inspect()
		must(t, err)
		want = strings.TrimSpace(strings.ReplaceAll(want, "\t\t\t", ""))
		if d := cmp.Diff(want, describe(p)); d != "" {
			t.Errorf("%s (-want +got):\n%s", spool, d)
		}
		total := p.Totals()
		total.Bytes, total.Inodes = 0, 0
		if d := cmp.Diff(Totals{Added: 6, Changed: 3, Deleted: 3, Metadata: 1}, total); d != "" {
			t.Errorf("totals (-want +got):\n%s", d)
		}
		for range p.Describe {
			break
		}
	}
}

func TestInspectCancelled(t *testing.T) {
	l := newLab(t, "disk", "tmpfs")
	l.run(func(m string) { sh(t, m, "mkdir d; cd d; seq 600 | xargs touch") })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Inspect(ctx, l.open(l.upper), l.open(l.root), l.o); !errors.Is(err, context.Canceled) {
		t.Errorf("Inspect: %v", err)
	}
}

// TestSynced commits once with both syncs.
func TestSynced(t *testing.T) {
	l, _ := busyLab(t, "disk", "tmpfs")
	l.o.NoSync = false
	l.commit()
	l.same()
}

// TestRunAfterRun: what one commit made is no conflict for the next run.
func TestRunAfterRun(t *testing.T) {
	l := newLab(t, "disk", "tmpfs")
	for range 3 {
		l.run(func(m string) { sh(t, m, "echo x >>f; rm -rf d; mkdir d; echo y >d/f") })
		l.commit()
		l.same()
		removeAll(t, l.upper)
		sh(t, l.spool, "mkdir u")
		time.Sleep(5 * time.Millisecond)
	}
	if got := read(t, l.root+"/f"); got != "x\nx\nx\n" {
		t.Errorf("three runs: %q", got)
	}
}
