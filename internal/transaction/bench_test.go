package transaction

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// BenchmarkCommit commits what the second stage of a debootstrap leaves: 8,000 new or replaced files, 200 MB. The time
// per operation is that of Inspect and Commit without the syncs.
func BenchmarkCommit(b *testing.B) {
	for _, spool := range []string{"tmpfs", "disk"} {
		b.Run(spool, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				l := newLab(b, "disk", spool)
				populate(b, l.root, 2000, 1000)
				l.quietRun(func(m string) { populate(b, m, 8000, 25<<10) })
				syscall.Sync() // or the disk is still busy with the round before
				b.StartTimer()
				p, err := l.inspect()
				must(b, err)
				must(b, p.Commit(context.Background()))
				b.ReportMetric(float64(len(p.Changes())), "changes")
			}
		})
	}
}

func BenchmarkInspect(b *testing.B) {
	l := newLab(b, "disk", "tmpfs")
	populate(b, l.root, 8000, 100)
	l.quietRun(func(m string) { populate(b, m, 8000, 100) })
	for b.Loop() {
		_, err := l.inspect()
		must(b, err)
	}
}

func populate(b *testing.B, root string, files, size int) {
	for i := range files {
		dir := filepath.Join(root, "usr", fmt.Sprint(i%40), fmt.Sprint(i%400))
		if i < 400 {
			must(b, os.MkdirAll(dir, 0o755))
		}
		data := bytes.Repeat([]byte(strings.Repeat("x", 63)+"\n"), size/64+i%3)
		must(b, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), data, 0o644))
	}
}
