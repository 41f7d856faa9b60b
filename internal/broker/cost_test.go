package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
)

func TestParseEmulator(t *testing.T) {
	for cmdline, want := range map[string][2]string{
		"/.cr/armhf/entry\x00-0\x00sh\x00/bin/sh\x00-c\x00true\x00":                  {"sh", "/bin/sh"},
		"/.cr/arm64/entry\x00-cpu\x00max\x00-0\x00-sh\x00/bin/sh\x00a\x00b\x00c\x00": {"-sh", "/bin/sh"},
		"/.cr/armhf/entry\x00/bin/sh\x00-c\x00true\x00":                              {},
		"/.cr/arm64/entry\x00-cpu\x00max\x00":                                        {},
		"/.cr/arm64/entry\x00-cpu\x00":                                               {},
		"/usr/bin/qemu-arm\x00-0\x00sh\x00/bin/sh\x00":                               {},
		"": {},
	} {
		called, file, ok := parseEmulator([]byte(cmdline))
		if got := [2]string{called, file}; got != want || ok != (want[1] != "") {
			t.Errorf("%q: %q, %v", cmdline, got, ok)
		}
	}
}

func TestParseStat(t *testing.T) {
	const text = "12 (a) b) R 1 2 3 4 5 6 7 8 9 10 150 25 13 14 15 16 17 18 4242 20 21\n"
	used, started, ok := parseStat([]byte(text))
	if used != 1750*time.Millisecond || started != 4242 || !ok {
		t.Errorf("%v, %d, %v", used, started, ok)
	}
	for _, bad := range []string{"", "12 (a", "12 (a) R 1 2", "1 (a) R 1 2 3 4 5 6 7 8 9 10 x 25 13 14 15 16 17 18 4242"} {
		if _, _, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q is no stat", bad)
		}
	}
}

func FuzzCost(f *testing.F) {
	f.Add([]byte("/.cr/arm64/entry\x00-cpu\x00max\x00-0\x00sh\x00/bin/sh\x00"))
	f.Add([]byte("12 (a) R 1 2 3 4 5 6 7 8 9 10 150 25 13 14 15 16 17 18 4242 20 21\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		parseEmulator(text)
		if used, _, _ := parseStat(text); used < 0 {
			t.Errorf("%q: %v", text, used)
		}
	})
}

// fakeProcess lays a process into a directory that stands for procfs: it used this much CPU time since it was started,
// age ago.
func fakeProcess(t *testing.T, proc, pid, cmdline string, used, age time.Duration) {
	t.Helper()
	dir := filepath.Join(proc, pid)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	started := (sinceBoot() - age) / userTick
	stat := fmt.Sprintf("%s (x) R 1 2 3 4 5 6 7 8 9 10 %d 0 13 14 15 16 17 18 %d 20\n", pid, used/userTick, started)
	for name, text := range map[string]string{"cmdline": cmdline, "stat": stat} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCosts(t *testing.T) {
	dir, top := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(top+"/usr/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink("usr/bin", top+"/bin"), os.WriteFile(top+"/usr/bin/sort", nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	proc, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(top)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	b := &Broker{Options: Options{Root: root}}
	b.costs.start()
	if b.costs.stop != nil {
		t.Error("it samples without a procfs")
	}
	b.Sample(proc)
	defer b.costs.close()
	c := &b.costs
	c.seen, c.spent, c.names = map[int]sighting{}, map[costKey]time.Duration{}, map[string]string{}

	const emulator = "/.cr/armhf/entry\x00-0\x00"
	// A short one, half of its life on the CPU: half an interval.
	fakeProcess(t, dir, "10", emulator+"sort\x00/bin/sort\x00-g\x00", 20*time.Millisecond, 40*time.Millisecond)
	// One that is seen for the first time after ten seconds: an interval's share of what it used.
	fakeProcess(t, dir, "11", emulator+"box\x00/usr/bin/box\x00", 5*time.Second, 10*time.Second)
	fakeProcess(t, dir, "12", "native\x00", 5*time.Second, 10*time.Second)
	c.look()
	// Then it counts what was used since.
	started := c.seen[11].started
	fakeProcess(t, dir, "11", emulator+"box\x00/usr/bin/box\x00", 7*time.Second, sinceBoot()-time.Duration(started)*userTick)
	if err := os.RemoveAll(dir + "/10"); err != nil {
		t.Fatal(err)
	}
	c.look()
	programs := []protocol.Program{
		{Path: "/usr/bin/sort", Outcome: policy.Native}, {Path: "/usr/bin/sort", Outcome: policy.Emulate},
		{Path: "/usr/bin/box", Applet: "wc", Outcome: policy.Emulate}, {Path: "/usr/bin/box", Applet: "box", Outcome: policy.Emulate},
	}
	b.costs.share(programs)
	for i, want := range []float64{0, 0.05, 0, 2.05} {
		if got := programs[i].AboutSeconds; got < want*0.8 || got > want*1.25 {
			t.Errorf("%s %s %s: %.3f s, want about %.3f", programs[i].Outcome, programs[i].Path, programs[i].Applet, got, want)
		}
	}
}
