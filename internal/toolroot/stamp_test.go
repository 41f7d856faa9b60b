package toolroot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossroot/crossroot/internal/kernel/rootfs"
)

func TestStampLine(t *testing.T) {
	for _, name := range []string{"/usr/bin/[", "/a b", "/\xff", "/a  b "} {
		info := rootfs.Info{Mode: 0o100755, Size: 1 << 40, MTime: -5, Inode: 1<<64 - 1}
		got, path, ok := parseLine(line("f", name, info))
		if got != info || path != name || !ok {
			t.Errorf("%q: %+v, %q, %v", name, got, path, ok)
		}
	}
}

func FuzzReadStamp(f *testing.F) {
	f.Add("8 abc\nf 33261 1 2 3 /bin/sh\nd 16877 1 2 3 /bin\nend\n")
	dir := f.TempDir()
	src, err := rootfs.Open("/")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = src.Close() })
	f.Fuzz(func(t *testing.T, text string) {
		name := filepath.Join(dir, "stamp")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, lines, err := readStamp(name)
		if err == nil && !strings.HasSuffix(text, "end\n") {
			t.Errorf("%q was cut short and is accepted", text)
		}
		unchanged(src, lines)
	})
}
