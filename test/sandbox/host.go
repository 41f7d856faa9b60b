package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// host is the host oracle: what must be the same before and after every test, as text by name.
func (b *Box) host() map[string]string {
	b.Helper()
	var canary strings.Builder
	b.must(b.Manifest(b.Canary).Write(&canary))
	all := map[string]string{
		"canary directory": canary.String(),
		"mounts":           read("/proc/self/mountinfo"),
		"core_pattern":     read("/proc/sys/kernel/core_pattern"),
		"modprobe":         read("/proc/sys/kernel/modprobe"),
		"hostname":         read("/proc/sys/kernel/hostname"),
		"domain name":      read("/proc/sys/kernel/domainname"),
		"sysrq":            read("/proc/sys/kernel/sysrq"),
		"overcommit":       read("/proc/sys/vm/overcommit_memory"),
		"namespaces":       read("/proc/sys/user/max_user_namespaces"),
		"shared memory":    read("/proc/sysvipc/shm"),
		"message queues":   read("/proc/sysvipc/msg"),
		"semaphores":       read("/proc/sysvipc/sem"),
		"loop devices":     matches("/sys/block/loop*/loop/backing_file"),
		"handlers":         matches("/proc/sys/fs/binfmt_misc/*"),
		"cgroups":          matches("/sys/fs/cgroup/*crossroot*") + matches("/sys/fs/cgroup/*/*crossroot*"),
		"sockets":          ours("/proc/net/unix"),
	}
	for _, name := range []string{"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/dev/null"} {
		info, err := os.Stat(name)
		all[name] = fmt.Sprint(err)
		if err == nil {
			all[name] = fmt.Sprint(info.Mode(), info.ModTime().UnixNano(), info.Size())
		}
		if err == nil && info.Mode().IsRegular() {
			all[name] += read(name)
		}
	}
	return all
}

// read is a file's text, or why there is none.
func read(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// matches lists files by pattern, with their text.
func matches(pattern string) string {
	var b strings.Builder
	names, _ := filepath.Glob(pattern)
	for _, name := range names {
		fmt.Fprintln(&b, name, read(name))
	}
	return b.String()
}

// ours are a table's lines that have to do with crossroot.
func ours(name string) string {
	var b strings.Builder
	for line := range strings.Lines(read(name)) {
		if strings.Contains(line, "crossroot") || strings.Contains(line, "@xr-") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// orphans fails the test if a process that a run started is still there. The test process is the reaper of all its
// descendants (TestMain), so that those who lost their parent are children of its own.
func (b *Box) orphans() {
	b.Helper()
	var left string
	for range 40 {
		if left = children(); left == "" {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.Errorf("processes left behind:\n%s", left)
}

// children lists the living children of this process; the dead ones that nobody waited for don't count.
func children() string {
	var b strings.Builder
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		for _, pid := range strings.Fields(read(task)) {
			stat := read("/proc/" + pid + "/stat")
			if _, rest, ok := strings.Cut(stat, ") "); ok && !strings.HasPrefix(rest, "Z") {
				fmt.Fprintln(&b, pid, stat)
			}
		}
	}
	return b.String()
}
