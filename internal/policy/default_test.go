package policy

import (
	"slices"
	"strings"
	"testing"
)

// programNames lists the distinct names of programs that the rows outside of multi-call applets
// cover, without patterns.
func programNames(rows []Row) []string {
	var names []string
	for _, row := range rows {
		for _, program := range row.Programs {
			if len(row.Applets) == 0 && !strings.ContainsAny(program, "*?") {
				names = append(names, program[strings.LastIndexByte(program, '/')+1:])
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestDefaultCoversWhatScriptsCall(t *testing.T) {
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(programNames(p.Rows())); n < 150 {
		t.Errorf("the default policy covers %d programs, want 150", n)
	}
	seen := map[string]bool{}
	for _, row := range p.Rows() {
		if seen[row.Name] {
			t.Errorf("two rows are called %q", row.Name)
		}
		seen[row.Name] = true
		for _, c := range append([]Case{{Reason: row.Reason}}, row.Cases...) {
			if len(c.Reason) < 8 || strings.HasSuffix(c.Reason, ".") || strings.ToUpper(c.Reason[:1]) == c.Reason[:1] && c.Reason[1] > 'Z' && !properName(c.Reason) {
				t.Errorf("row %q: reason %q is not a clause that can follow a colon", row.Name, c.Reason)
			}
		}
		if row.Outcome == Native && !row.Script && row.Libc == "" && !strings.HasPrefix(row.Name, "busybox") {
			t.Errorf("row %q is native whatever the C library", row.Name)
		}
	}
}

func properName(reason string) bool { return strings.HasPrefix(reason, "XML") }

// TestDefaultNoRowIsHidden: the first row decides, so that a program named twice is decided once only.
func TestDefaultNoRowIsHidden(t *testing.T) {
	for _, load := range []func() (*Policy, error){Default, func() (*Policy, error) { return Shipped("image") }} {
		p, err := load()
		if err != nil {
			t.Fatal(err)
		}
		first := map[string]string{}
		for _, row := range p.Rows() {
			for _, program := range row.Programs {
				for _, applet := range append(slices.Clone(row.Applets), strings.Repeat("-", 1-min(1, len(row.Applets)))) {
					key := program + " " + applet
					if row.Script {
						key = "script " + key
					}
					if other, twice := first[key]; twice && applet != "" {
						t.Errorf("%s is named by row %q and again by row %q", key, other, row.Name)
					}
					first[key] = row.Name
				}
			}
		}
	}
}

// TestDefaultCalls is how the default policy decides what maintainer scripts really call. The tool
// root is a perfect twin, the target armhf on amd64.
func TestDefaultCalls(t *testing.T) {
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path, call string
		want       Outcome
	}{
		// shells, interpreters
		{"/bin/dash", "sh -c true", Native},
		{"/bin/bash", "bash x", Native},
		{"/usr/bin/perl", "perl -e1", Native},
		{"/usr/bin/python3.11", "python3 x", Emulate},
		{"/usr/bin/python3.11", "python3", Emulate},
		{"/usr/bin/python3.11", "python3 -c x /usr/bin/py3compile", Emulate},
		{"/usr/bin/python3.11", "/usr/bin/python3 -Es /usr/bin/py3compile -p x", Native},
		{"/usr/bin/python3.11", "python3.11 -m py_compile -", Native},
		{"/usr/bin/python3.11", "python3 -W ignore -m compileall x", Native},
		{"/usr/bin/python3.11", "python3 x -m compileall", Emulate},
		{"/usr/bin/python3.11", "python3 py_compile", Emulate},
		{"/usr/bin/python3.11", "/usr/bin/python3 /bin/py3clean -p x", Native},
		{"/usr/bin/python3.11", "/usr/bin/python3.11 -E -S /usr/lib/python3.11/py_compile.py x", Native},
		{"/usr/bin/python2.7", "python2.7 x", Emulate},
		// coreutils
		{"/usr/bin/[", "[ a = a ]", Native},
		{"/bin/uname", "uname -m", Native},
		{"/bin/ls", "ls -l", Native},
		{"/usr/bin/sort", "sort -u", Native},
		{"/usr/bin/sort", "sort -rg", Emulate},
		{"/usr/bin/sort", "sort --general-numeric-sort", Emulate},
		{"/usr/bin/seq", "seq 1 10", Native},
		{"/usr/bin/seq", "seq 0 .1 1", Emulate},
		{"/usr/bin/printf", "printf %s\\n x", Native},
		{"/usr/bin/printf", "printf %.3f 1", Emulate},
		{"/usr/bin/od", "od -An -N4 -tu4 /dev/urandom", Native},
		{"/usr/bin/od", "od -An -tdL x", Emulate},
		{"/usr/bin/od", "od -l x", Emulate},
		{"/usr/bin/numfmt", "numfmt 1", Emulate},
		{"/usr/bin/who", "who", Emulate},
		// packages
		{"/usr/bin/dpkg", "dpkg --print-architecture", Native},
		{"/usr/bin/dpkg-query", "dpkg-query -W", Native},
		{"/usr/bin/apt-get", "apt-get check", Native},
		{"/usr/lib/apt/methods/gpgv", "gpgv", Native},
		{"/usr/bin/update-alternatives", "update-alternatives --install a b c 1", Native},
		{"/sbin/ldconfig", "ldconfig", Builtin},
		{"/usr/bin/ischroot", "ischroot", Builtin},
		{"/usr/bin/localedef", "localedef -i de_DE -f UTF-8 x", Native},
		{"/usr/bin/locale", "locale -a", Native},
		{"/usr/bin/locale", "locale charmap", Emulate},
		{"/usr/bin/getconf", "getconf LONG_BIT", Emulate},
		// services
		{"/sbin/start-stop-daemon", "start-stop-daemon --start --exec /usr/sbin/x", Stub},
		{"/sbin/start-stop-daemon", "start-stop-daemon --version", Emulate},
		{"/sbin/start-stop-daemon.REAL", "start-stop-daemon.REAL --start", Emulate},
		{"/bin/systemctl", "systemctl daemon-reload", Stub},
		{"/bin/systemctl", "systemctl --system daemon-reload", Stub},
		{"/bin/systemctl", "systemctl --root /x start a", Stub},
		{"/bin/systemctl", "systemctl enable start", Native},
		{"/bin/systemctl", "systemctl -q is-enabled a", Native},
		{"/bin/systemctl", "systemctl is-active a", Native},
		{"/bin/systemctl", "/sbin/reboot", Stub},
		{"/bin/systemctl", "runlevel", Native},
		{"/lib/systemd/systemd", "/sbin/init 6", Stub},
		{"/usr/bin/udevadm", "udevadm trigger --action=change", Stub},
		{"/usr/bin/udevadm", "udevadm control --reload", Stub},
		{"/usr/bin/udevadm", "udevadm hwdb --update", Native},
		{"/usr/bin/udevadm", "/lib/systemd/systemd-udevd --daemon", Stub},
		{"/usr/bin/systemd-tmpfiles", "systemd-tmpfiles --create x.conf", Native},
		{"/usr/bin/journalctl", "journalctl --update-catalog", Native},
		{"/usr/bin/journalctl", "journalctl --flush", Stub},
		{"/usr/bin/dbus-send", "dbus-send --system --dest=org.freedesktop.DBus / org.freedesktop.DBus.ReloadConfig", Stub},
		{"/usr/bin/hostnamectl", "hostnamectl set-hostname x", Stub},
		{"/usr/bin/hostnamectl", "hostnamectl", Emulate},
		{"/sbin/killall5", "killall5 -9", Stub},
		{"/sbin/killall5", "/bin/pidof x", Native},
		// the kernel
		{"/bin/mount", "mount", Native},
		{"/bin/mount", "mount -t proc proc /proc", Stub},
		{"/bin/mount", "mount -l -t ext4", Native},
		{"/bin/mount", "mount -a", Stub},
		{"/bin/mount", "mount -o remount,rw /", Stub},
		{"/bin/umount", "umount /proc", Stub},
		{"/sbin/losetup", "losetup -a", Emulate},
		{"/sbin/losetup", "losetup -D", Stub},
		{"/sbin/losetup", "losetup -f --show x.img", Stub},
		{"/sbin/swapon", "swapon --show", Emulate},
		{"/sbin/swapon", "swapon -a", Stub},
		{"/sbin/sysctl", "sysctl -n kernel.ostype", Native},
		{"/sbin/sysctl", "sysctl -q --system", Stub},
		{"/sbin/sysctl", "sysctl -ep", Stub},
		{"/sbin/sysctl", "sysctl kernel.x=1", Stub},
		{"/bin/hostname", "hostname -f", Native},
		{"/bin/hostname", "hostname box", Stub},
		{"/bin/hostname", "hostname -F /etc/hostname", Stub},
		{"/usr/sbin/xtables-nft-multi", "iptables -A INPUT -j DROP", Stub},
		{"/usr/sbin/xtables-nft-multi", "iptables -nvL", Emulate},
		{"/usr/sbin/xtables-nft-multi", "/sbin/iptables-save", Emulate},
		{"/bin/ip", "ip addr show up", Native},
		{"/bin/ip", "ip link set lo up", Stub},
		{"/sbin/setcap", "setcap cap_net_raw+ep /bin/ping", Native},
		{"/usr/sbin/grub-install", "grub-install /dev/sda", Stub},
		{"/usr/bin/bootctl", "bootctl install", Stub},
		// caches
		{"/usr/bin/fc-cache", "fc-cache -f", Emulate},
		{"/usr/bin/mandb", "mandb -pq", Emulate},
		{"/usr/bin/openssl", "openssl rehash /etc/ssl/certs", Native},
		{"/usr/bin/openssl", "openssl fipsinstall", Emulate},
		{"/usr/lib/arm-linux-gnueabihf/glib-2.0/glib-compile-schemas", "glib-compile-schemas x", Native},
		{"/usr/bin/gtk-update-icon-cache", "gtk-update-icon-cache -i x", Emulate},
		{"/opt/app/bin/dash", "dash", Emulate},
	}
	for _, test := range tests {
		t.Run(test.call, func(t *testing.T) {
			d := Pick(p.Decide(twin(t, test.path)), strings.Fields(test.call))
			if d.Outcome != test.want {
				t.Errorf("%s: %s: got %s (%s), want %s", test.path, test.call, d.Outcome, d.Reason, test.want)
			}
		})
	}
}

// twin is a subject for which the tool root is a twin of the target.
func twin(t *testing.T, path string) Subject {
	t.Helper()
	return Subject{
		Path: path, Target: mustArch(t, "armhf"), Host: mustArch(t, "amd64"), LibcTarget: "glibc", LibcHost: "glibc",
		Tool: &Tool{Path: "/.cr/bin/tool", Identity: "armhf"}, Versions: found("1.2.3-4", "1.2.3-4"),
	}
}

func TestDefaultScripts(t *testing.T) {
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path, call string
		want       Outcome
	}{
		{"/etc/init.d/ssh", "/etc/init.d/ssh start", Stub},
		{"/etc/init.d/ssh", "/etc/init.d/ssh force-reload", Stub},
		{"/etc/init.d/ssh", "/etc/init.d/ssh status", Native},
		{"/etc/rc.common", "/etc/rc.common /etc/init.d/dnsmasq enable", Native},
		{"/etc/rc.common", "/etc/rc.common /etc/init.d/dnsmasq restart", Stub},
		{"/lib/init/init-d-script", "/lib/init/init-d-script /etc/init.d/cron stop", Stub},
		{"/usr/sbin/invoke-rc.d", "/usr/sbin/invoke-rc.d ssh start", Native},
		{"/usr/sbin/service", "service ssh start", Native},
		{"/usr/sbin/update-grub", "/usr/sbin/update-grub", Stub},
		{"/usr/bin/pg_ctlcluster", "/usr/bin/pg_ctlcluster 15 main start", Stub},
		{"/usr/sbin/apache2ctl", "/usr/sbin/apache2ctl configtest", Native},
	}
	for _, test := range tests {
		subject := twin(t, test.path)
		subject.Script = true
		if d := Pick(p.Decide(subject), strings.Fields(test.call)); d.Outcome != test.want {
			t.Errorf("%s: got %s (%s), want %s", test.call, d.Outcome, d.Reason, test.want)
		}
	}
	if n := len(p.Scripts()); n == 0 {
		t.Error("no row names a script")
	}
}

func TestDefaultMulticall(t *testing.T) {
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path, call string // the applet is the first word's base name
		want       Outcome
	}{
		{"/usr/bin/kmod", "/sbin/modprobe loop", Stub},
		{"/usr/bin/kmod", "modprobe --show-depends loop", Emulate},
		{"/usr/bin/kmod", "rmmod loop", Stub},
		{"/usr/bin/kmod", "depmod -a", Native},
		{"/usr/bin/kmod", "lsmod", Native},
		{"/bin/busybox", "sh -c x", Native},
		{"/bin/busybox", "wc x", Native},
		{"/bin/busybox.nosuid", "wc x", Native},
		{"/bin/busybox", "mount", Emulate},
		{"/bin/busybox", "mount -t proc proc /proc", Stub},
		{"/bin/busybox", "insmod x.ko", Stub},
		{"/bin/busybox", "start-stop-daemon -S x", Stub},
		{"/bin/busybox", "reboot", Stub},
		{"/bin/busybox", "sysctl -w a=1", Stub},
		{"/bin/busybox", "hostname", Emulate},
		{"/bin/busybox", "ip addr add 1.2.3.4 dev lo", Stub},
		{"/bin/busybox", "seq 3", Emulate},
		{"/bin/busybox", "--install", Emulate},
		{"/usr/bin/coreutils", "cp a b", Native},
		{"/usr/bin/coreutils", "od -l a", Emulate},
		{"/bin/toybox", "wc x", Native},
		{"/bin/toybox", "mount a", Stub},
	}
	for _, test := range tests {
		argv := strings.Fields(test.call)
		subject := twin(t, test.path)
		if d := p.Decide(subject); !d.Multicall {
			t.Errorf("%s is not multi-call", test.path)
		}
		subject.Applet = argv[0][strings.LastIndexByte(argv[0], '/')+1:]
		if d := Pick(p.Decide(subject), argv); d.Outcome != test.want {
			t.Errorf("%s: %s: got %s (%s), want %s", test.path, test.call, d.Outcome, d.Reason, test.want)
		}
	}
}

// TestSameWordSize: cases for other word sizes are gone where it is the same.
func TestSameWordSize(t *testing.T) {
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	subject := twin(t, "/usr/bin/od")
	subject.Target, subject.Tool.Identity = mustArch(t, "arm64"), "arm64"
	if d := Pick(p.Decide(subject), []string{"od", "-l", "x"}); d.Outcome != Native {
		t.Errorf("od -l on arm64: %+v", d)
	}
}

func TestImagePolicy(t *testing.T) {
	base, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	image, err := Shipped("image")
	if err != nil {
		t.Fatal(err)
	}
	p := base.With(image)
	tests := []struct {
		path, call string
		want       Outcome
	}{
		{"/usr/bin/mandb", "mandb -c", Stub},
		{"/usr/bin/ssh-keygen", "ssh-keygen -q -f /etc/ssh/ssh_host_rsa_key -N -t rsa", Stub},
		{"/usr/bin/ssh-keygen", "ssh-keygen -A", Stub},
		{"/usr/bin/ssh-keygen", "ssh-keygen -f /root/key", Native},
		{"/usr/bin/systemd-machine-id-setup", "systemd-machine-id-setup", Stub},
		{"/usr/bin/dash", "dash", Native},
	}
	for _, test := range tests {
		if d := Pick(p.Decide(twin(t, test.path)), strings.Fields(test.call)); d.Outcome != test.want {
			t.Errorf("%s: got %s (%s), want %s", test.call, d.Outcome, d.Reason, test.want)
		}
	}
	initramfs := twin(t, "/usr/sbin/update-initramfs")
	initramfs.Script = true
	if d := p.Decide(initramfs); d.Outcome != Stub {
		t.Errorf("update-initramfs: %+v", d)
	}
	if d := base.Decide(initramfs); d.Outcome != Native {
		t.Errorf("update-initramfs without the image policy: %+v", d)
	}
}
