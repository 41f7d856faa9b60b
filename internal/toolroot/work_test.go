package toolroot

import (
	"os"
	"strings"
	"testing"
)

// TestToolsWork lets tools do what maintainer scripts want of them, where they
// need their loader, modules, name services, character sets or PAM for it.
func TestToolsWork(t *testing.T) {
	r := openHost(t, "armhf")
	s := scratch{Base: r.Base, Variant: r.Variant, Binds: map[string]string{"usr/share": "/usr/share"}, Files: map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/.cr/bin/dash\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:19000:0:99999:7:::\n",
		"etc/gshadow":                  "root:*::\n",
		"etc/nsswitch.conf":            "passwd: files systemd\ngroup: files systemd\nshadow: files systemd\n",
		"etc/login.defs":               "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUSERGROUPS_ENAB yes\nENCRYPT_METHOD SHA512\n",
		"etc/pam.d/other":              "auth sufficient pam_rootok.so\nauth required pam_unix.so\naccount required pam_unix.so\npassword required pam_unix.so sha512\nsession required pam_unix.so\n",
		"etc/latin1":                   "x\n",
		"etc/tmpfiles.d/x.conf":        "d /tmp/made 0700 - - -\n",
		"etc/sysusers.d/x.conf":        "u made - \"Made\" /nonexistent\n",
		"etc/systemd/system/x.service": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
		"var/lib/dpkg/status":          "Package: x\nStatus: install ok installed\nArchitecture: armhf\nMaintainer: m\nVersion: 1.0\nDescription: d\n",
		"var/lib/dpkg/info/format":     "1\n", "var/lib/dpkg/info/x.list": "/.\n/etc\n/etc/latin1\n",
	}}
	tests := []struct{ tool, script, want string }{
		{"/usr/bin/dash", "echo $0 $((6 * 7))", "x 42"},
		{"/usr/bin/bash", "exec /.cr/bin/bash -c 'echo ${BASH_VERSION%%.*}'", ""},
		{"/usr/bin/sort", "printf 'b\\na\\n' | sort", "a\nb"},
		{"/usr/bin/mawk", "mawk 'BEGIN { print toupper(\"x\") }'", "X"},
		{"/usr/bin/gawk", "gawk 'BEGIN { print strftime(\"%Y\", 0) }'", "1970"},
		{"/usr/bin/iconv", "printf 'gr\\374\\337e' | iconv -f ISO-8859-1 -t UTF-8", "grüße"},
		{"/usr/bin/iconv", "iconv -f EUC-JP -t UTF-16 /etc/passwd | wc -c", ""},
		{"/usr/bin/locale", "locale charmap", "UTF-8"},
		{"/usr/bin/getent", "getent passwd 0", "root:x:0:0:root:/root:/.cr/bin/dash"},
		{"/usr/bin/id", "id -un", "root"},
		{"/usr/bin/dpkg", "dpkg --print-architecture", "armhf"},
		{"/usr/bin/dpkg-query", "dpkg-query -W -f '${binary:Package} ${Version}' x", "x 1.0"},
		{"/usr/bin/dpkg", "dpkg -S /etc/latin1", "x: /etc/latin1"},
		{"/usr/bin/apt-config", "apt-config shell A APT::Architecture 2>/dev/null", "A='armhf'"},
		{"/usr/bin/apt-cache", "apt-config dump 2>/dev/null | grep -c amd64", "0"},
		{"/usr/bin/tar", "tar -cf /tmp/a.tar /etc/passwd 2>/dev/null && tar -tf /tmp/a.tar", "etc/passwd"},
		{"/usr/bin/xz", "echo x | xz | xz -d", "x"},
		{"/usr/bin/zstd", "echo x | zstd -q | zstd -dq", "x"},
		{"/usr/bin/openssl", "openssl version | cut -c1-7", "OpenSSL"},
		{"/usr/bin/openssl", "openssl list -providers -provider legacy | grep -c legacy", ""},
		{"/usr/bin/openssl", "echo x | openssl dgst -md4 -provider legacy | tail -c 5", ""},
		{"/usr/bin/ssh-keygen", "ssh-keygen -q -t ed25519 -N '' -f /tmp/key && head -c 11 /tmp/key.pub", "ssh-ed25519"},
		{"/usr/sbin/groupadd", "groupadd --system staffx && grep -c staffx /etc/group", "1"},
		{"/usr/sbin/useradd", "useradd -M joe && id -u joe", "1000"},
		{"/usr/sbin/chpasswd", "echo root:secret | chpasswd && grep -c '^root:\\$' /etc/shadow", "1"},
		{"/usr/bin/su", "su root -c 'echo in su'", "in su"},
		{"/usr/bin/systemd-tmpfiles", "systemd-tmpfiles --create /etc/tmpfiles.d/x.conf && stat -c %a /tmp/made", "700"},
		{"/usr/bin/systemd-sysusers", "systemd-sysusers /etc/sysusers.d/x.conf 2>/dev/null; grep -c ^made: /etc/passwd", "1"},
		{"/usr/bin/systemctl", "systemctl enable x 2>/dev/null; readlink /etc/systemd/system/multi-user.target.wants/x.service", "/etc/systemd/system/x.service"},
		{"/usr/bin/find", "find /etc -name latin1 -printf %f", "latin1"},
		{"/usr/bin/sed", "echo a | sed s/a/b/", "b"},
		{"/usr/bin/perl", "perl -e 'print \"$]\"' | cut -c1", "5"},
		{"/usr/bin/busybox", "busybox id -u", "0"},
		{"/usr/bin/file", "file -b /etc/passwd 2>/dev/null", "ASCII text"},
		{"/usr/bin/update-alternatives", "mkdir -p /usr/bin /etc/alternatives /var/lib/dpkg/alternatives; update-alternatives --install /usr/bin/a a /etc/latin1 1 >/dev/null 2>&1; readlink /usr/bin/a", "/etc/alternatives/a"},
	}
	var run []string
	for _, tt := range tests {
		if _, ok := r.Lookup(tt.tool); !ok || tt.tool == "/usr/bin/su" && os.Geteuid() != 0 {
			continue // a user's namespace has no setgroups
		}
		run = append(run, tt.want)
		s.Commands = append(s.Commands, []string{"/.cr/bin/dash", "-c", tt.script, "x"})
	}
	if len(run) == 0 {
		t.Fatal("no tools at all")
	}
	for i, ran := range s.run(t) {
		got := strings.TrimRight(ran.Output, "\n")
		if run[i] != "" && got != run[i] || run[i] == "" && (got == "" || ran.Error != "") {
			t.Errorf("%s: %q %s, not %q", s.Commands[i][2], got, ran.Error, run[i])
		}
		for _, a := range ran.Paths {
			if hostPath(a.Path) {
				t.Errorf("%s: names %s", s.Commands[i][2], a.Path)
			}
		}
	}
}
