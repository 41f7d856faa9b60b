package wrap

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// native is what a program of the root prints that runs natively, and says so.
const native = "armv7l\n"

// Builders that enter a root in their own ways: uname there can't run but natively.
func TestBuilders(t *testing.T) {
	b := Setup(t)
	for _, script := range []string{
		"chroot $R uname -m",
		"chroot $R sh -c 'uname -m'",
		"chroot $R /bin/sh -c 'exec uname -m'",
		"cd $R && chroot . uname -m",
		"unshare -n chroot $R uname -m",
		"unshare -m chroot $R uname -m",
		"unshare -m --propagation private chroot $R uname -m",
		"unshare -m --propagation shared chroot $R uname -m",
		"unshare -m --propagation slave chroot $R uname -m",
		"unshare -p -f chroot $R uname -m",
		"unshare -pmf --mount-proc chroot $R uname -m",
		"unshare -i -u -C chroot $R uname -m",
		"unshare -r chroot $R uname -m",
		"unshare -rm chroot $R uname -m",
		"unshare -r unshare -m unshare -n chroot $R uname -m",
		"unshare -r -R $R uname -m",
		"unshare -mpnf -R $R uname -m",
		"setpriv --no-new-privs chroot $R uname -m",
		"chroot $R setpriv --no-new-privs uname -m",
		"chroot $R setpriv --bounding-set=-all --inh-caps=-all uname -m",
		"chroot $R setpriv --reuid 33 --regid 33 --clear-groups uname -m",
		"chroot $R setpriv --reuid 33 --regid 33 --clear-groups --no-new-privs uname -m",
		"$P bare /usr/sbin/chroot $R sh -c 'uname -m > /tmp/x'; cat $R/tmp/x; rm $R/tmp/x",
		"$P stderr /usr/sbin/chroot $R sh -c 'uname -m >&2' 2>&1",
		"mv $R/dev/null $D/; $P stderr /usr/sbin/chroot $R sh -c 'uname -m >&2' 2>&1; mv $D/null $R/dev/",
		"$P threads /usr/sbin/chroot $R uname -m",
		"$P pivot $R /usr/bin/uname -m",
		"$P pivot $R /bin/sh -c 'uname -m'",
		"unshare -rm $P pivot $R /usr/bin/uname -m",
		"unshare -rm $P pivot $R /probe bare /bin/sh -c 'uname -m > /tmp/x'; cat $R/tmp/x; rm $R/tmp/x",
		"chroot $R /probe pivot /mnt/none x 2>/dev/null; chroot $R uname -m",
		"mkdir $D/at; mount --bind $R $D/at; chroot $D/at uname -m; umount $D/at; rmdir $D/at",
		"mkdir $D/at; mount --rbind $R $D/at; mount --make-private $D/at; chroot $D/at uname -m; umount $D/at; rmdir $D/at",
		"(cd /; exec chroot $R uname -m)",
		"sh -c 'chroot $R uname -m' | cat",
		"ulimit -n 16; chroot $R uname -m",
		"setsid -w chroot $R uname -m",
		"env -i /usr/sbin/chroot $R uname -m",
	} {
		b.Prints(native, script+"; for i in 1; do [ ! -e $R/"+hidden+" ] || echo the mount point is there; done")
	}
}

// Each time that chroot returns, the mount point is gone and the root's own time is the old one.
func TestTraceless(t *testing.T) {
	b := Setup(t)
	b.Prints("0\n", `
before=$(stat -c %y $R)
bad=0
for i in $(seq 200); do
	chroot $R true || bad=$((bad+1))
	[ ! -e $R/`+hidden+` ] || bad=$((bad+1))
	[ "$(stat -c %y $R)" = "$before" ] || bad=$((bad+1))
done
echo $bad`)
}

// Many first dispatches at once, in one root and in many.
func TestParallel(t *testing.T) {
	b := Setup(t)
	b.Prints("200\n", `(for i in $(seq 200); do chroot $R uname -m & done; wait) | grep -c armv7l`)
	var roots []string
	for i := range 8 {
		dir := filepath.Join(b.dir, fmt.Sprintf("root%d", i))
		b.MakeRoot(dir)
		roots = append(roots, dir)
	}
	b.Prints("24\n", `(for r in `+strings.Join(roots, " ")+`; do for i in 1 2 3; do chroot $r uname -m & done; done; wait) | grep -c armv7l; ls -d $D/root*/.cr 2>/dev/null; true`)
}

// Two programs of a new root at the same instant, from a process that has many threads.
func TestSameInstant(t *testing.T) {
	b := Setup(t)
	for range 5 {
		b.Prints("2\n", `(chroot $R uname -m & chroot $R uname -m & wait) | grep -c armv7l`)
	}
}

// What a process leaves behind goes on working, in what it executes later too; the mount point goes with the last one.
func TestBackground(t *testing.T) {
	b := Setup(t)
	b.Prints("started\nlater armv7l\n", `
chroot $R sh -c 'trap "" HUP; (sleep 0.5; echo "later $(uname -m)") & echo started'
sleep 2`)
	b.Prints("armv7l\nlater armv7l\nagain armv7l\n", `
chroot $R sh -c '(sleep 1; echo "later $(uname -m)"; sh -c "echo again \$(uname -m)") &'
chroot $R uname -m
sleep 3`)
}

// A builder that is killed, and processes in a root that are: nothing is left a moment later.
func TestKilledBuilder(t *testing.T) {
	b := Setup(t)
	if r := b.Wrap(`chroot $R sh -c 'kill -9 $$'; echo $?; chroot $R uname -m; sleep 0.3; ls -d $R/` + hidden + ` 2>/dev/null; kill -9 $$`); r.Code != 128+9 || r.Out != "137\narmv7l\n" {
		b.Errorf("exit %d: %q %s", r.Code, r.Out, r.Err)
	}
	b.gone()
	if r := b.Wrap(`chroot $R sleep 1000 & sleep 0.5; kill -9 $$`); r.Code != 128+9 {
		b.Errorf("exit %d: %q %s", r.Code, r.Out, r.Err)
	}
	b.gone()
}

// mount and umount in a chroot act where the builder sees it, and so do the processes of the chroot.
func TestMounts(t *testing.T) {
	b := Setup(t)
	for _, unshare := range []string{"", "unshare -m ", "unshare -m --propagation shared ", "unshare -m --propagation slave ", "unshare -rm "} {
		b.Prints("seen\ninside\nfile\nagain\ngone\n", unshare+`sh -c '
chroot $R mount tmpfs /mnt && grep -q " $R/mnt " /proc/self/mountinfo && echo seen
: > $R/mnt/file
chroot $R sh -c "[ -e /mnt/file ] && echo inside; ls /mnt"
chroot $R umount /mnt
grep -q " $R/mnt " /proc/self/mountinfo || echo again
chroot $R sh -c "[ -e /mnt/file ] || echo gone"
'`)
		// By a shell in the chroot, which has an attachment of its own.
		b.Prints("file\nseen\nempty\n", unshare+`sh -c '
chroot $R sh -c "mount tmpfs /mnt; : > /mnt/file; ls /mnt"
[ -e $R/mnt/file ] && echo seen
chroot $R sh -c "umount /mnt; [ -e /mnt/file ] || echo empty"
'`)
		if unshare != "" && !strings.Contains(unshare, "shared") {
			continue
		}
		// What the builder mounts meanwhile is seen inside; from a private namespace nothing propagates.
		b.Prints("seen\n", unshare+`sh -c '
chroot $R sh -c "for i in 1 2 3 4 5 6 7 8 9 10; do [ -e /mnt/file ] && { echo seen; exit; }; sleep 0.2; done" &
sleep 0.4; mount -t tmpfs t $R/mnt; : > $R/mnt/file; wait; umount $R/mnt
'`)
	}
}

// Roots where no mount point can be made: what an emulator can run is run, nothing hangs.
func TestNoMountPoint(t *testing.T) {
	b := Setup(t)
	emulated := "hello from arm\n"
	for name, script := range map[string]string{
		"read-only":       "mount --bind $R $R; mount -o remount,bind,ro $R; chroot $R /foreign hello; chroot $R uname -m 2>/dev/null; umount $R",
		"full":            "mkdir $D/t; mount -t tmpfs -o size=16m,nr_inodes=3 t $D/t; cp $R/foreign $D/t/; touch $D/t/x; touch $D/t/y 2>/dev/null; chroot $D/t /foreign hello; umount $D/t; rmdir $D/t",
		"a file":          "rm -rf $R/.cr; echo precious > $R/.cr; chroot $R /foreign hello; grep -q precious $R/.cr || echo lost; rm $R/.cr",
		"a link":          "ln -s /etc $R/.cr; chroot $R /foreign hello; [ -L $R/.cr ] || echo lost; rm $R/.cr; ls -A $R/etc | grep -c entry",
		"dangling link":   "ln -s /nowhere $R/.cr; chroot $R /foreign hello; [ -L $R/.cr ] || echo lost; rm $R/.cr; [ ! -e $R/nowhere ] || echo made",
		"a directory":     "mkdir $R/.cr; : > $R/.cr/mine; chroot $R /foreign hello; [ -e $R/.cr/mine ] || echo lost; rm -r $R/.cr",
		"no right before": "chroot --userspec=33:33 $R /foreign hello",
	} {
		t.Run(name, func(t *testing.T) {
			b := &Box{T: t, Root: b.Root, dir: b.dir, before: b.before}
			want := emulated
			if name == "a link" {
				want += "0\n"
			}
			r := b.Wrap("before=$(stat -c %y $R); " + script + "; touch -d \"$before\" $R")
			if r.Out != want {
				b.Errorf("%s: printed %q, want %q\n%s", script, r.Out, want, r.Err)
			}
		})
	}
}

// Roots that are odd but serve: dispatch is native there.
func TestOddRoots(t *testing.T) {
	b := Setup(t)
	for name, script := range map[string]string{
		"nosuid":                       "mount --bind $R $R; mount -o remount,bind,nosuid,nodev $R; chroot $R uname -m; umount $R",
		"empty directory":              "mkdir $R/.cr; chroot $R uname -m; [ -d $R/.cr ] && rmdir $R/.cr || echo lost",
		"read-only with a mount point": "mkdir $R/.cr; mount --bind $R $R; mount -o remount,bind,ro $R; chroot $R uname -m; umount $R; rmdir $R/.cr",
		"without /proc":                "rmdir $R/proc; chroot $R uname -m; mkdir $R/proc",
		"without packages":             "mv $R/var/lib/dpkg $D/dpkg; chroot $R uname -m; mv $D/dpkg $R/var/lib/",
		"overlay": "mkdir $D/u $D/w $D/m; mount -t overlay o -o lowerdir=$R,upperdir=$D/u,workdir=$D/w,userxattr $D/m && " +
			"chroot $D/m uname -m; [ ! -e $D/m/.cr ] || echo left; umount $D/m; ls -A $D/u; rm -rf $D/u $D/w $D/m",
		"tmpfs":          "mkdir $D/m; mount -t tmpfs t $D/m; cp -a $R/. $D/m; chroot $D/m uname -m; ls -A $D/m | grep .cr; umount $D/m; rmdir $D/m",
		"moved":          "mv $R $R.new; chroot $R.new uname -m; mv $R.new $R",
		"made again":     "chroot $R uname -m >/dev/null; cp -a $R $D/copy; chroot $D/copy uname -m; rm -rf $D/copy; cp -a $R $D/copy; chroot $D/copy true || echo bad; rm -rf $D/copy",
		"a chroot in it": "mkdir $R/srv/in; cp -a $R/usr $R/bin $R/sbin $R/lib $R/var $R/etc $R/srv/in/ 2>/dev/null; chroot $R chroot /srv/in uname -m; [ ! -e $R/srv/in/.cr ] || echo left; rm -rf $R/srv/in",
	} {
		t.Run(name, func(t *testing.T) {
			b := &Box{T: t, Root: b.Root, dir: b.dir, before: b.before}
			r := b.Wrap(`before=$(stat -c %y $R); `+script+`; touch -d "$before" $R`, "--fidelity", "near")
			if r.Out != native || r.Code != 0 {
				b.Errorf("%s: exit %d, printed %q, want %q\n%s", script, r.Code, r.Out, native, r.Err)
			}
		})
	}
}

// A root on a file system that forbids execution: the kernel refuses, as ever.
func TestNoExec(t *testing.T) {
	b := Setup(t)
	r := b.Wrap(`mount --bind $R $R; mount -o remount,bind,noexec $R; chroot $R uname -m; echo $?; umount $R`)
	if r.Out != "126\n" {
		b.Errorf("%q %s", r.Out, r.Err)
	}
}

// A hostile program in a chroot gains nothing and is always answered; afterwards the wrap still works.
func TestHostile(t *testing.T) {
	b := Setup(t)
	began := time.Now()
	for _, how := range []string{
		"$P hostile $R/usr/bin/ls",                           // outside of every root
		"chroot $R /probe hostile /usr/bin/ls",               // in a root where nothing is attached
		"chroot $R sh -c '/probe hostile /usr/bin/ls; true'", // attached
		"chroot $R sh -c 'setpriv --reuid 33 --regid 33 --clear-groups /probe hostile /usr/bin/ls; true'",
		"unshare -rm chroot $R sh -c '/probe hostile /usr/bin/ls; true'",
		"chroot $R sh -c '/probe hostile /foreign; true'",
	} {
		b.Prints("done\n"+native, how+"; chroot $R uname -m")
	}
	t.Logf("%v", time.Since(began))
}
