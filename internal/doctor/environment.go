package doctor

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/crossroot/crossroot/internal/kernel/probe"
	"github.com/crossroot/crossroot/internal/kernel/userns"
)

// Environment is what may explain why the kernel refused something. It decides nothing: what works is found out by
// trying.
type Environment struct {
	Release    string // of the kernel
	Executable string // crossroot's own
	Caller     userns.Caller

	Sysctls      map[string]string // those of interesting; absent when the kernel has none
	Capabilities uint64            // effective, a bit each
	NoNewPrivs   bool
	Seccomp      bool     // a seccomp filter is on this process
	Chroot       bool     // "/" is no mount point, or another directory than for process 1
	Covered      []string // mount points below /proc
	NewUIDMap    string   // path of newuidmap, "" when there is none
	NewUIDMapSet bool     // it is set-uid, or has file capabilities, on a mount that honours them
}

// interesting are the sysctls that stand in the way of user namespaces and of the broker, by path below /proc/sys.
var interesting = []string{
	"user/max_user_namespaces", "user/max_mnt_namespaces", "user/max_pid_namespaces", "user/max_net_namespaces",
	"user/max_ipc_namespaces", "user/max_uts_namespaces", "user/max_cgroup_namespaces",
	"kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns", "kernel/yama/ptrace_scope",
}

// ReadEnvironment looks around; what can't be read is left out.
func ReadEnvironment() Environment {
	e := Environment{Release: probe.Release(), Caller: userns.ReadCaller(), Sysctls: map[string]string{}}
	e.Executable, _ = os.Executable()
	for _, name := range interesting {
		if text, err := os.ReadFile("/proc/sys/" + name); err == nil {
			e.Sysctls[strings.ReplaceAll(name, "/", ".")] = strings.TrimSpace(string(text))
		}
	}
	if text, err := os.ReadFile("/proc/self/status"); err == nil {
		e.readStatus(string(text))
	}
	e.Chroot = chrooted()
	if mounts, err := readMounts(); err == nil {
		e.readMounts(mounts)
	}
	if path, err := exec.LookPath("newuidmap"); err == nil {
		e.NewUIDMap, e.NewUIDMapSet = path, probe.Privileged(path)
	}
	return e
}

// readStatus takes what matters of /proc/self/status (proc(5)).
func (e *Environment) readStatus(text string) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "CapEff":
			e.Capabilities, _ = strconv.ParseUint(value, 16, 64)
		case "NoNewPrivs":
			e.NoNewPrivs = value == "1"
		case "Seccomp":
			e.Seccomp = value == "2"
		}
	}
}

// chrooted compares this process's root with that of process 1, where it may.
func chrooted() bool {
	first, err1 := os.Stat("/proc/1/root/.")
	own, err2 := os.Stat("/")
	return err1 == nil && err2 == nil && !os.SameFile(first, own)
}

func (e *Environment) readMounts(mounts []mountPoint) {
	e.Chroot = e.Chroot || len(mounts) > 0 && !slices.ContainsFunc(mounts, func(m mountPoint) bool { return m.Point == "/" })
	for _, m := range mounts {
		// A handler table on its usual place covers nothing that the kernel minds: its mount point is made for it.
		if strings.HasPrefix(m.Point, "/proc/") && m.Type != "binfmt_misc" && m.Type != "autofs" {
			e.Covered = append(e.Covered, m.Point)
		}
	}
}

// mountPoint is a line of mountinfo (proc(5)).
type mountPoint struct {
	ID      int
	Point   string
	Flags   string // of the mount: rw,nosuid,noexec…
	Type    string
	Source  string
	Options string // of the file system
}

func readMounts() ([]mountPoint, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []mountPoint
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m, ok := parseMount(lines.Text()); ok {
			all = append(all, m)
		}
	}
	return all, lines.Err()
}

func parseMount(line string) (mountPoint, bool) {
	before, after, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 6 || len(right) < 2 {
		return mountPoint{}, false
	}
	id, err := strconv.Atoi(left[0])
	m := mountPoint{ID: id, Point: unescape(left[4]), Flags: left[5], Type: right[0], Source: unescape(right[1])}
	if len(right) > 2 {
		m.Options = right[2]
	}
	return m, err == nil
}

// unescape undoes mountinfo's octal escapes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
