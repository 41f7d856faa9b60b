package sandbox

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crossroot/crossroot/internal/tree"
)

// answers parses a probe's output: call → error name.
func (b *Box) answers(output string) map[string]string {
	b.Helper()
	all := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(output))
	for lines.Scan() {
		i := strings.LastIndex(lines.Text(), ": ")
		if i < 0 {
			b.Fatalf("not a probe's answer: %q", lines.Text())
		}
		all[lines.Text()[:i]] = lines.Text()[i+2:]
	}
	return all
}

// refusedWith checks that each call of a probe was answered with one of the error names.
func (b *Box) refusedWith(output string, names ...string) {
	b.Helper()
	all := b.answers(output)
	if len(all) == 0 {
		b.Error("the probe said nothing")
	}
	for call, name := range all {
		if !slices.Contains(names, name) {
			b.Errorf("%s: %s, want one of %s", call, name, names)
		}
	}
}

// C15: a script sees nothing of pid 1 and gets no hold of it.
func TestPid1(t *testing.T) {
	b := Setup(t)
	b.Probes()
	b.refusedWith(b.Works("/probe pid1"), "EACCES", "EPERM", "ESRCH")
	b.refusedWith(b.Works("/probe32 pid1"), "EACCES", "EPERM", "ESRCH")
	for _, script := range []string{
		"ls -lL /proc/1/fd/", "cat /proc/1/fd/3", "ls /proc/1/cwd/", "ls /proc/1/root/", "cat /proc/1/environ", "cat /proc/1/maps", "echo x > /proc/1/mem",
		"cat /proc/1/root/etc/passwd", "nsenter -t 1 -m true", "nsenter -t 1 -U true",
	} {
		if out, err, code := Run(b, b.Root, script); code == 0 {
			b.Errorf("%s: worked: %s%s", script, out, err)
		}
	}
	// The rest of the processes are the script's own.
	out := b.Works(`for p in /proc/[0-9]*; do read -r line < $p/status && echo $line; done | sort -u; kill -9 1; kill -STOP 1; echo $?`)
	if !strings.HasSuffix(out, "\n0\n") {
		b.Errorf("signals to pid 1: %q", out)
	}
	b.Works("true") // and it did not stop
}

// C15, with processes that outlive the command: pid 1 takes all of them along.
func TestNothingOutlives(t *testing.T) {
	b := Setup(t)
	b.Probes()
	out, _, code := Run(b, b.Root, "setsid sleep 1000 > /dev/null 2>&1 & (setsid /probe sleep &) & exit 3")
	if code != 3 || out != "" {
		b.Errorf("exit %d: %s", code, out)
	}
	out, _, code = Run(b, b.Root, "sleep 1000 & kill -9 -1; echo alive")
	if code != 0 || out != "alive\n" {
		b.Errorf("exit %d: %s", code, out)
	}
	_, _, code = Run(b, b.Root, "kill -9 $$")
	if code != 128+9 {
		b.Errorf("exit %d", code)
	}
}

// tampering is what a script may try on the hidden directory (C17).
var tampering = []string{
	"umount /.cr", "umount -l /.cr", "mount -o remount,bind,rw /.cr", "mount --bind /etc /.cr", "mount --bind /.cr /mnt && ls /mnt/bin",
	"mv /.cr /cr", "mv /.cr/bin /.cr/nib", "rm -rf /.cr/bin", "rm -f /.cr/bin/dash", "rm -f /.cr/t/bin/dash", "rmdir /.cr",
	"chmod 777 /.cr/bin/dash", "chmod 777 /.cr/self", "chown 1 /.cr/bin/dash", "touch /.cr/bin/dash", "touch /.cr/new", "mkdir /.cr/new",
	"ln -s /etc/evil /.cr/armhf/exec/usr/bin/evil", "echo evil > /.cr/bin/dash", "echo evil >> /.cr/self", "echo evil > /.cr/armhf/entry",
	"cp /probe /.cr/bin/dash", "ln -f /probe /.cr/bin/dash", "ln /.cr/bin/dash /dash", "mv /probe /.cr/t/bin/dash",
	"echo x > /.cr/proc/self/mem && false", "truncate -s 0 /.cr/t/bin/dash", "rm /.cr/log", "mv /.cr/log /.cr/log2",
}

// C17: the hidden directory can't be changed, moved, covered or taken away, and the next run has a genuine tool root.
func TestHiddenDirectory(t *testing.T) {
	b := Setup(t)
	b.Probes()
	before := b.Manifest(b.Root)
	var script strings.Builder
	for _, line := range tampering {
		script.WriteString("if (" + line + ") > /dev/null 2>&1; then echo " + quote("worked: "+line) + "; fi\n")
	}
	for line := range strings.Lines(b.Works(script.String())) {
		// The stub of mount says that it did something; the attempts' effects are looked at below.
		if !strings.Contains(line, "mount") {
			b.Error(strings.TrimSpace(line))
		}
	}
	b.refusedWith(b.Works("/probe open /.cr/self /.cr/bin/dash /.cr/t/bin/dash /.cr/bin/coreutils /.cr/armhf/entry /.cr/ld.so /proc/self/exe"),
		"EROFS", "ENOENT", "ETXTBSY", "EACCES", "EPERM")
	// A program of the tool root that runs, through its descriptor.
	if out := b.Works("sleep 5 & sleep 0.2; /probe open /proc/$!/exe; kill $!"); !strings.Contains(out, "EROFS") && !strings.Contains(out, "ETXTBSY") {
		b.Errorf("a running tool's file: %s", out)
	}
	// The chroot way round.
	b.Works("mkdir -p /tmp/c/.cr/bin && cp /probe /tmp/c/.cr/bin/dash; rm -r /tmp/c")
	if out := b.Works("uname -m; ls -A / | grep -c '^[.]cr$' || true; ls /.cr/bin/dash"); out != "armv7l\n0\n/.cr/bin/dash\n" {
		b.Errorf("the next run: %q", out)
	}
	b.Only(before, "tmp", "mnt")
}

// C17, C43: neither can crossroot's own executable and the emulator, although a user's script has the user's rights to
// files that the user owns, nor the host's device nodes.
func TestHostFilesInside(t *testing.T) {
	b := Setup(t)
	emulator := filepath.Join(b.dir, "emulator")
	data, err := os.ReadFile(filepath.Join(os.Getenv(envDir), "probe"))
	b.must(err)
	b.must(os.WriteFile(emulator, data, 0o777))
	// Not called by its name on the host: how it is found is not the question here.
	before := b.Manifest(b.dir)
	r := b.Crossroot(Options{}, "run", "--keep", "never", "--qemu", emulator, "--fidelity", "near", b.Root, "sh", "-c", `
for f in /.cr/self /.cr/armhf/qemu /.cr/armhf/entry /dev/null /dev/zero /dev/tty /proc/kcore /proc/keys; do
	[ -e $f ] || continue
	for c in "chmod 777" "chmod 4755" "chown 1" "touch -d @0" "truncate -s 0" "rm -f" "mv -t /tmp" "ln -f -t /tmp"; do
		case "$c $f" in truncate*/dev/*|truncate*/proc/*) continue ;; esac
		$c $f 2> /dev/null && echo "worked: $c $f"
	done
done
true`)
	if r.Code != 0 || r.Out != "" {
		b.Errorf("exit %d: %s%s", r.Code, r.Out, r.Err)
	}
	for _, d := range tree.Compare(before, b.Manifest(b.dir), tree.CompareOptions{Times: true}) {
		b.Errorf("host: %v", d)
	}
}

// C17: what mountinfo tells inside are no paths that lead anywhere.
func TestMountinfo(t *testing.T) {
	b := Setup(t)
	out := b.Works(`while read -r id parent dev root point rest; do
	echo "$point $rest"
	for p in "$root" "$point/../upper" /up /lower /up/upper /up/work /merged /tools /disk; do
		[ "$p" = / ] || [ "$p" = "$point/../upper" ] || ! [ -d "$p" ] || case $p in /.cr*|/proc*|/sys*|/dev*|/bus|/fs|/irq|/driver) ;; *) echo "LEAK $p" ;; esac
	done
done < /proc/self/mountinfo; find / -xdev -name upper -o -xdev -name work | head`)
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "LEAK") || strings.HasSuffix(strings.TrimSpace(line), "/upper") {
			b.Error(strings.TrimSpace(line))
		}
	}
	if strings.Contains(out, b.dir) || strings.Contains(out, filepath.Base(os.Getenv(envDir))) {
		b.Errorf("a path of the host in mountinfo:\n%s", out)
	}
}

// C18: the handlers of executables are out of reach, and a mount of binfmt_misc is refused.
func TestHandlers(t *testing.T) {
	b := Setup(t)
	b.Probes()
	const handler = `:evil:M::\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00::/probe:F`
	out := b.Works(`ls -A /proc/sys/fs/binfmt_misc 2> /dev/null
cd /proc/sys/fs/binfmt_misc || exit 0
(echo ` + quote(handler) + ` > register) && echo registered
(echo -1 > status) && echo removed
true`)
	if out != "" {
		b.Errorf("%q", out)
	}
	// A mount of one's own is refused: TestMountFamily.
	if out := b.Works("uname -m"); out != "armv7l\n" {
		b.Errorf("the next run: %q", out)
	}
}

// C19: no setting of the kernel can be written, whatever it belongs to.
func TestKernelSettings(t *testing.T) {
	b := Setup(t)
	b.Probes()
	b.refusedWith(b.Works(`/probe write /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/kernel/hotplug \
	/proc/sys/kernel/hostname /proc/sys/kernel/domainname /proc/sys/kernel/sysrq /proc/sysrq-trigger /proc/sys/vm/overcommit_memory \
	/proc/sys/vm/drop_caches /proc/sys/net/ipv4/ip_forward /proc/sys/net/core/somaxconn /proc/sys/fs/file-max /proc/sys/user/max_user_namespaces \
	/proc/sys/kernel/ns_last_pid /proc/sys/kernel/shmmax /proc/irq/default_smp_affinity /proc/fs/x /proc/acpi/x /proc/scsi/scsi 1`), "EROFS", "ENOENT", "EACCES", "EPERM")
	if out := b.Works("for f in mtrr timer_list kcore keys kallsyms; do ! [ -e /proc/$f ] || stat -c %t:%T /proc/$f; done | sort -u"); out != "1:3\n" {
		b.Errorf("masked files: %q", out)
	}
	// Where the masks are gone the ids must hold: the kernel asks for uid 0 of the host.
	if out := b.Works("cat /proc/self/uid_map"); isRoot() && strings.Join(strings.Fields(out), " ") == "0 0 4294967295" {
		b.Errorf("root inside is root outside: %q", out)
	}
	if isRoot() {
		// Without protection root of a user namespace may: this writes what is there already.
		b.Naive(`pattern=$(cat /proc/sys/kernel/core_pattern) && echo "$pattern" > /proc/sys/kernel/core_pattern`)
	}
}
