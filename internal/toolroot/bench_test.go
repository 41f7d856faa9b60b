package toolroot

import (
	"os"
	"testing"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/rootfs"
)

// BenchmarkOpen measures what every start waits for: the check that nothing
// changed, and the index. It must stay under 5 ms.
func BenchmarkOpen(b *testing.B) {
	armhf, _ := arch.Lookup("armhf")
	o := Options{Cache: b.TempDir() + "/cache", Target: armhf}
	r, err := Open(b.Context(), Source{Root: "/"}, o)
	if err != nil {
		b.Fatal(err)
	}
	_ = r.Close()
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			r, err := Open(b.Context(), Source{Root: "/"}, o)
			if err != nil {
				b.Fatal(err)
			}
			_ = r.Close()
		}
	})
	b.Run("index", func(b *testing.B) {
		for b.Loop() {
			if _, err := ReadIndex(r.Base, r.Variant); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stamp", func(b *testing.B) {
		src, err := rootfs.Open("/")
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = src.Close() }()
		c := cache{o.Cache + "/tools"}
		for b.Loop() {
			_, lines, err := readStamp(c.stampName(Source{Root: "/"}))
			if err != nil || !unchanged(src, lines) {
				b.Fatal("changed", err)
			}
		}
	})
}

// BenchmarkBuild measures building from the host, with its files in memory.
func BenchmarkBuild(b *testing.B) {
	armhf, _ := arch.Lookup("armhf")
	for b.Loop() {
		dir, err := os.MkdirTemp(b.TempDir(), "")
		if err != nil {
			b.Fatal(err)
		}
		r, err := Open(b.Context(), Source{Root: "/"}, Options{Cache: dir, Target: armhf})
		if err != nil {
			b.Fatal(err)
		}
		_ = r.Close()
	}
}
