package memory

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMeminfo(t *testing.T) {
	const text = "MemTotal:       24684084 kB\nMemFree:        100 kB\nMemAvailable:   23958612 kB\nBroken:\n"
	for field, want := range map[string]int64{"MemAvailable": 23958612 << 10, "MemFree": 100 << 10, "Broken": 0, "None": 0} {
		if got := meminfo(text, field); got != want {
			t.Errorf("%s: %d, want %d", field, got, want)
		}
	}
	if Available() <= 0 {
		t.Error("this machine has no memory")
	}
}

func TestSmallestLimitOfAllGroups(t *testing.T) {
	top := t.TempDir()
	for name, text := range map[string]string{
		"a/memory.max": "1000\n", "a/memory.current": "10\n", "a/b/memory.max": "max\n", "a/b/c/memory.max": "5000\n",
	} {
		file := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var limit, used int64
	smallest(top, "/a/b/c", "memory.max", "memory.current", &limit, &used)
	if limit != 1000 || used != 10 {
		t.Errorf("limit %d used %d", limit, used)
	}
	limit, used = 0, 0
	if smallest(top, "/elsewhere", "memory.max", "memory.current", &limit, &used); limit != 0 {
		t.Errorf("limit %d where there is none", limit)
	}
}
