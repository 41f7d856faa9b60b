package standin

// directories of a root.
const directories = `
	/boot /dev /etc/default /etc/init.d /home /media /mnt /opt /proc /root /run/lock /srv /sys /tmp
	/usr/bin /usr/include /usr/lib /usr/local/bin /usr/sbin /usr/share/doc
	/var/backups /var/cache /var/lib/dpkg/info /var/lib/misc /var/local /var/log /var/mail /var/opt /var/spool /var/tmp`

// userPrograms lie in /usr/bin.
const userPrograms = `
	[ arch b2sum base32 base64 basename basenc cat chgrp chmod chown cksum comm cp csplit cut date dd df dir dircolors
	dirname du echo env expand expr factor false fmt fold groups head hostid id install join link ln logname ls md5sum
	mkdir mkfifo mknod mktemp mv nice nl nohup nproc numfmt od paste pathchk pinky pr printenv printf ptx pwd readlink
	realpath rm rmdir seq sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat stdbuf stty
	sum sync tac tail tee test timeout touch tr true truncate tsort tty uname unexpand uniq unlink users vdir wc who
	whoami yes
	dash bash sed grep mawk find xargs tar gzip diff cmp
	dpkg dpkg-deb dpkg-query getopt ipcmk kill kmod mount nsenter ps setpriv setsid su systemctl umount unshare`

// systemPrograms lie in /usr/sbin.
const systemPrograms = `
	chroot groupadd ldconfig pivot_root start-stop-daemon swapon sysctl udevadm useradd`

// links to programs under another name.
var links = map[string]string{
	"/usr/bin/awk":       "mawk",
	"/usr/sbin/modprobe": "../bin/kmod",
	"/usr/sbin/reboot":   "../bin/systemctl",
}

// packages are Debian's names of those that have the programs above.
const packages = `
	bash coreutils dash diffutils findutils grep gzip kmod libc-bin mawk mount procps sed systemd tar util-linux`

// files of a root.
var files = map[string]string{
	"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n" +
		"daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n" +
		"www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n" +
		"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
	"/etc/group":         "root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnogroup:x:65534:\n",
	"/etc/shadow":        "root:*:19000:0:99999:7:::\nwww-data:*:19000:0:99999:7:::\n",
	"/etc/hostname":      "standin\n",
	"/etc/hosts":         "127.0.0.1 localhost\n",
	"/etc/fstab":         "",
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
	"/etc/os-release":    "PRETTY_NAME=\"a root of stand-ins\"\nID=standin\n",
	"/etc/profile":       "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nexport PATH\n",
	"/etc/ld.so.conf":    "",
	"/var/log/dpkg.log":  "",
}
