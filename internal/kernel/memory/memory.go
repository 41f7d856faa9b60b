// Package memory reads how much memory a process may still take: what the machine has, and what its control group
// allows. It reads files of /proc and /sys and knows nothing of what the memory is for.
package memory

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Available is MemAvailable of /proc/meminfo in bytes (proc_meminfo(5)); 0 if it can't be read.
func Available() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return meminfo(string(text), "MemAvailable")
}

// meminfo finds a field of /proc/meminfo, in bytes.
func meminfo(text, field string) int64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			words := strings.Fields(rest)
			if len(words) == 0 {
				return 0
			}
			n, _ := strconv.ParseInt(words[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

// Group is the smallest limit of the process's control group and those above it, and what is used of it, in bytes;
// limit 0: there is none (cgroups(7), versions 2 and 1).
func Group() (limit, used int64) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		switch {
		case f[1] == "":
			smallest("/sys/fs/cgroup", f[2], "memory.max", "memory.current", &limit, &used)
		case strings.Contains(","+f[1]+",", ",memory,"):
			smallest("/sys/fs/cgroup/memory", f[2], "memory.limit_in_bytes", "memory.usage_in_bytes", &limit, &used)
		}
	}
	return limit, used
}

// unlimited is above what version 1 writes for "no limit".
const unlimited = int64(1) << 60

func smallest(top, group, limitFile, usedFile string, limit, used *int64) {
	for dir := filepath.Join("/", group); ; dir = filepath.Dir(dir) {
		l := number(filepath.Join(top, dir, limitFile))
		if l > 0 && l < unlimited && (*limit == 0 || l < *limit) {
			*limit, *used = l, number(filepath.Join(top, dir, usedFile))
		}
		if dir == "/" {
			return
		}
	}
}

// number reads a file that holds one; 0 for "max" and for no file.
func number(name string) int64 {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}
