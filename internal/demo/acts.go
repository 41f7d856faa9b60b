package demo

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/tree"
)

// Act is one script and what must come of it.
type Act struct {
	Title  string // what kind of script this is
	Harm   string // what it would have done to a machine
	Script string
	Exit   int // its exit status

	look func(*scene)
}

// node is the device node that a script tries to make.
const node = "crossroot-demo"

// Acts are the scripts, in the order of the play; each sees what the ones before have left.
func (d *Demo) Acts() []Act {
	return []Act{
		{
			Title: "a postinst that adds its user",
			Harm:  "a password-less root account on this machine, and its /etc/hosts given away",
			Script: `uname -m
echo 'app::0:0::/:/bin/sh' >> /etc/passwd
chown www-data:www-data /etc/hosts
chmod 4755 /usr/bin/env`,
			look: d.accounts,
		},
		{
			Title: "a clean-up whose variable is empty",
			Harm:  "/home and the logs of this machine, deleted",
			Script: `rm -rf "$DESTDIR"/home "$DESTDIR"/var/log "$DESTDIR"/var/backups
rm -rf "$CANARY"
ls "$CANARY" || echo 'nothing of the host here'`,
			look: d.cleaning,
		},
		{
			Title: "a postinst that starts its service",
			Harm:  "a foreign daemon started, this machine's services restarted, a module loaded, a reboot",
			Script: `start-stop-daemon --start --exec /usr/sbin/appd
systemctl restart ssh
modprobe app && udevadm trigger
mount -t tmpfs none /var/lib
reboot`,
			look: d.services,
		},
		{
			Title: "a script that reaches for the kernel",
			Harm:  "a program of the package's run as root at the next crash; a disk's device node in /dev",
			Script: `echo '|/tmp/app' > /proc/sys/kernel/core_pattern || echo 'core_pattern: refused'
echo b > /proc/sysrq-trigger || echo 'sysrq: refused'
mknod /dev/` + node + ` b 8 0 || echo 'device node: refused'
unshare --mount true || echo 'new namespaces: refused'`,
			look: d.kernel,
		},
		{
			Title: "a prerm that stops its processes",
			Harm:  "every process of this machine killed",
			Script: `sleep 1000 & sleep 1000 &
echo processes here: $(ls -d /proc/[0-9]* | wc -l)
kill -9 -1
wait; echo still here`,
			look: d.killing,
		},
		{
			Title: "an upgrade that fails half way",
			Harm:  "a machine, or with --force a target, with half a configuration and no libraries",
			Exit:  1,
			Script: `set -e
rm -rf /usr/lib /etc/init.d
echo > /etc/passwd
mv /etc/hosts /etc/hosts.old
cat /etc/app.conf > /etc/hosts
echo 'never reached'`,
			look: d.failing,
		},
	}
}

// scene is what the checks of one act look at.
type scene struct {
	outcome       *Outcome
	before, after *tree.Manifest
	checks        []Check
}

// check notes a claim; format says what was found instead.
func (s *scene) check(claim string, holds bool, format string, args ...any) {
	c := Check{Claim: claim}
	if !holds {
		c.Err = fmt.Errorf(format, args...)
	}
	s.checks = append(s.checks, c)
}

// says checks that the script printed each of the texts.
func (s *scene) says(claim string, texts ...string) {
	for _, t := range texts {
		if !strings.Contains(s.outcome.Output, t) {
			s.check(claim, false, "its output has no %q", t)
			return
		}
	}
	s.check(claim, true, "")
}

// changed checks that the root differs from before in exactly these paths, by comparing the trees themselves, and that
// the report names the same number of them. Directories count when their own mode or owner changed.
func (s *scene) changed(claim string, paths ...string) {
	var found []string
	for _, d := range tree.Compare(s.before, s.after, tree.CompareOptions{}) {
		if !slices.Contains(found, d.Path) {
			found = append(found, d.Path)
		}
	}
	slices.Sort(paths)
	kept := s.outcome.Result.Committed && len(s.outcome.Result.Report.Changes) > 0
	s.check(claim, slices.Equal(found, paths) && kept == (len(paths) > 0), "the trees differ in %q, kept: %v", found, kept)
}

// ran checks how many executions had each outcome, at least.
func (s *scene) ran(claim string, o policy.Outcome, least int) {
	sum := 0
	for _, p := range s.outcome.Result.Report.Programs {
		if p.Outcome == o {
			sum += p.Count
		}
	}
	s.check(claim, sum >= least, "only %d of %d", sum, least)
}

// entry is a path of the root afterwards.
func (s *scene) entry(path string) tree.Entry {
	e, _ := s.after.Lookup(path)
	return e
}

func (d *Demo) accounts(s *scene) {
	s.says("the script sees the target's CPU", d.Arch.Uname)
	before, _ := s.before.Lookup("etc/hosts")
	s.check("owner and mode are as the script wanted them", s.entry("etc/hosts").UID != before.UID && s.entry("usr/bin/env").Mode == 0o4755,
		"owner %d, mode %#o", s.entry("etc/hosts").UID, s.entry("usr/bin/env").Mode)
	s.changed("kept in the root: /etc/passwd, /etc/hosts, /usr/bin/env", "etc/passwd", "etc/hosts", "usr/bin/env")
	s.ran("the stand-ins' programs ran natively", policy.Native, 4)
}

func (d *Demo) cleaning(s *scene) {
	s.says("the host's directory is not there", "nothing of the host here")
	s.changed("kept in the root: /home, /var/log, /var/backups are gone", "home", "var/log", "var/log/dpkg.log", "var/backups")
}

func (d *Demo) services(s *scene) {
	s.ran("all six calls were stubbed, and say so in the report", policy.Stub, 6)
	s.changed("nothing changed in the root")
}

func (d *Demo) kernel(s *scene) {
	s.says("each of the four was refused", "core_pattern: refused", "sysrq: refused", "device node: refused", "new namespaces: refused")
	s.check("the report names the device node", len(s.outcome.Result.Report.Nodes) == 1, "it names %d", len(s.outcome.Result.Report.Nodes))
	s.changed("nothing changed in the root")
}

func (d *Demo) killing(s *scene) {
	s.says("only the run's own processes can be seen, and killed", "still here")
	s.changed("nothing changed in the root")
}

func (d *Demo) failing(s *scene) {
	s.check("the run was discarded", !s.outcome.Result.Committed, "it was committed")
	s.check("the script did not get past its failure", !strings.Contains(s.outcome.Output, "never"), "it did")
	var err error
	if diffs := tree.Compare(s.before, s.after, tree.CompareOptions{Times: true}); len(diffs) > 0 {
		err = errors.New(diffs[0].String())
	}
	s.checks = append(s.checks, Check{"the root is exactly as before, times included", err})
}
