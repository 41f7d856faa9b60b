package broker

import (
	"bytes"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/crossroot/crossroot/internal/arch"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/policy"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/toolroot"
)

// decide asks the policy for one executable (or one applet of it).
func (b *Broker) decide(e *executable, applet string) policy.Decision {
	d := b.ask(e, applet)
	if d.Outcome == policy.Native && b.isPerl(d.Native) {
		if err := b.preparePerl(e); err != nil {
			d.Outcome, d.Native, d.Lacking = policy.Emulate, "", true
			d.Reason = "perl: " + err.Error() + ": emulated"
		}
	}
	if nativePython(d) {
		if err := b.preparePython(); err != nil {
			d = withoutNative(d, "python: "+err.Error()+": emulated")
			d.Lacking = true
		}
	}
	return d
}

// ask is decide without effects.
func (b *Broker) ask(e *executable, applet string) policy.Decision {
	d := b.Policy.Decide(b.subject(e, applet))
	if b.NoStubs {
		d = withoutStubs(d)
	}
	if b.EmulateAll && !slices.Contains(b.Except, protocol.Executable{Path: e.path, Applet: applet}) {
		d = emulated(d)
	}
	return d
}

// emulated is the decision of full emulation: the reference that a dispatched run is compared with. ischroot stays
// crossroot's, since the target's own would not see that it is in a sandbox.
func emulated(d policy.Decision) policy.Decision {
	d = withoutNative(d, "everything is emulated")
	return mapOutcomes(d, func(d *policy.Decision) {
		if d.Outcome == policy.Builtin && d.Builtin != "ischroot" {
			d.Outcome, d.Builtin, d.Reason = policy.Emulate, "", "everything is emulated"
		}
	})
}

// withoutNative makes native outcomes emulations.
func withoutNative(d policy.Decision, reason string) policy.Decision {
	return mapOutcomes(d, func(d *policy.Decision) {
		if d.Outcome == policy.Native {
			d.Outcome, d.Native, d.Near, d.Reason = policy.Emulate, "", false, reason
		}
	})
}

// withoutStubs makes stubs what a builder, which has its own, expects: the target's program.
func withoutStubs(d policy.Decision) policy.Decision {
	return mapOutcomes(d, func(d *policy.Decision) {
		if d.Outcome == policy.Stub {
			d.Outcome, d.Reason = policy.Emulate, "nothing is stubbed for a builder"
		}
	})
}

// mapOutcomes changes a decision and those of its cases.
func mapOutcomes(d policy.Decision, change func(*policy.Decision)) policy.Decision {
	change(&d)
	cases := d.ByArgs
	d.ByArgs = nil
	for _, c := range cases {
		c.Then = mapOutcomes(c.Then, change)
		d.ByArgs = append(d.ByArgs, c)
	}
	return d
}

// subject collects what is known about both sides.
func (b *Broker) subject(e *executable, applet string) policy.Subject {
	s := policy.Subject{
		Path: e.path, Applet: applet, Target: e.arch, Host: b.Host, Fidelity: b.Fidelity,
		LibcTarget: e.libc,
	}
	if applet != "" {
		s.Applets = b.applets(e)
	}
	if b.Tools == nil {
		return s
	}
	s.LibcHost = libcOf(b.Tools.Loader)
	row, ok := b.Policy.Match(e.path, false, applet)
	if !ok {
		return s
	}
	tool, ok := b.tool(row, e.path)
	if !ok || (tool.Identity != "" && e.arch.Name != b.Target.Name) {
		return s
	}
	if len(row.Needs) > 0 {
		s.Lacks = b.lacks()
	}
	s.Tool = &policy.Tool{Path: tool.Path, Applets: tool.Applets}
	if tool.Identity != "" {
		s.Tool.Identity = e.arch.Name
	}
	s.Versions = func(row policy.Row) (policy.Evidence, error) { return b.evidence(row, e, tool) }
	return s
}

// tool finds the tool for a row's program: under its path, or under the row's own name for it.
func (b *Broker) tool(row policy.Row, file string) (toolroot.Tool, bool) {
	r := toolroot.Root{Index: b.Tools}
	if row.Tool != "" {
		file = path.Join(path.Dir(policy.Canonical(file)), row.Tool)
	}
	return r.Lookup(file)
}

// applets lists what a multi-call executable of the target has; nil when it can't be told.
func (b *Broker) applets(e *executable) []string {
	const limit = 16 << 20
	info, err := e.file.Stat()
	if err != nil || info.Size() > limit {
		return nil
	}
	data, err := io.ReadAll(io.NewSectionReader(e.file, 0, info.Size()))
	if err != nil {
		return nil
	}
	return toolroot.Applets(e.path, data)
}

// lacks says what the target's configuration asks for and the tool root has not: name-service and PAM modules.
func (b *Broker) lacks() map[string]string {
	if b.Tools == nil || b.Root == nil {
		return nil
	}
	lacks := map[string]string{}
	if m := b.missingNSS(); m != "" {
		lacks["nss"] = m
	}
	if m := b.missingPAM(); m != "" {
		lacks["pam"] = m
	}
	return lacks
}

// limitConfig bounds the configuration files read from a root.
const limitConfig = 1 << 20

// missingNSS returns the first module of the target's nsswitch.conf for users, groups and passwords that the tool root
// lacks. files and dns are part of glibc since 2.34; compat is asked for in old roots.
func (b *Broker) missingNSS() string {
	text, err := fd.ReadFile(b.Root, "etc/nsswitch.conf", limitConfig)
	if err != nil {
		return ""
	}
	for _, line := range bytes.Split(text, []byte{'\n'}) {
		line, _, _ := bytes.Cut(line, []byte{'#'})
		database, services, ok := strings.Cut(string(line), ":")
		if !ok {
			continue
		}
		switch strings.TrimSpace(database) {
		case "passwd", "group", "shadow", "gshadow", "initgroups":
		default:
			continue
		}
		for _, service := range strings.Fields(services) {
			if strings.HasPrefix(service, "[") || strings.HasSuffix(service, "]") || service == "files" || service == "dns" {
				continue
			}
			name := "libnss_" + service + ".so.2"
			// A service whose module the target lacks as well is passed over by both.
			if !b.targetHasLibrary(name) {
				continue
			}
			if !b.toolHasLibrary(name) {
				return name
			}
		}
	}
	return ""
}

// missingPAM returns the first PAM module that the target's configuration names and the tool root lacks.
func (b *Broker) missingPAM() string {
	names, err := fd.Readdirnames(b.Root, "etc/pam.d")
	if err != nil {
		return ""
	}
	for _, n := range names {
		text, err := fd.ReadFile(b.Root, "etc/pam.d/"+n, limitConfig)
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(text)) {
			if strings.HasPrefix(word, "pam_") && strings.HasSuffix(word, ".so") &&
				b.targetHasLibrary("security/"+word) && !b.toolHasLibrary("security/"+word) {
				return word
			}
		}
	}
	return ""
}

func (b *Broker) targetHasLibrary(name string) bool {
	for _, dir := range libraryDirs(b.Target) {
		if _, err := fd.Lstat(b.Root, dir+"/"+name); err == nil {
			return true
		}
	}
	return false
}

func (b *Broker) toolHasLibrary(name string) bool {
	for _, dir := range []string{strings.Replace(b.Tools.LibDir, "/usr/", "/.cr/", 1)} {
		if exists(b.toolFile(dir + "/" + name)) {
			return true
		}
	}
	return false
}

// toolFile is where a file that lies in the hidden directory inside can be read from here.
func (b *Broker) toolFile(inside string) string {
	if b.ToolFile != nil {
		return b.ToolFile(inside)
	}
	return inside
}

// libraryDirs are where a root of the architecture keeps libraries.
func libraryDirs(a arch.Arch) []string {
	return []string{"usr/lib/" + a.Triplet, "lib/" + a.Triplet, "usr/lib", "lib", "usr/lib64", "lib64"}
}
