package policy

import (
	"fmt"
	"slices"
	"strings"
)

// verdict says whether the conditions of a row allow the native program.
type verdict struct {
	native bool
	near   bool   // only near fidelity allows it
	why    string // clause: "version 9.1 on both sides (package coreutils)", "the tool root has no dash"
	hint   string // how the user could have it native
	// lacking is set when it is for want of a tool, or of the right one.
	lacking bool
}

func no(format string, args ...any) verdict {
	return verdict{why: fmt.Sprintf(format, args...)}
}

// lacks is no for want of something that the tool root hasn't.
func lacks(format string, args ...any) verdict {
	return verdict{why: fmt.Sprintf(format, args...), lacking: true}
}

// judge applies the conditions of a native row, the strict ones first.
func judge(s Subject, row Row) verdict {
	tool := row.ToolName(s.Path)
	switch {
	case s.Tool == nil:
		return lacks("the tool root has no %s", tool)
	case row.SameWord && s.Target.WordSize() != s.Host.WordSize():
		return no("its results depend on the word size, %d bits here and %d in the target", s.Host.WordSize(), s.Target.WordSize())
	case row.SameOrder && s.Target.LittleEndian() != s.Host.LittleEndian():
		return no("its results depend on the byte order, and the target's is another")
	case row.Identity == identityDecides && s.Tool.Identity != s.Target.Name:
		return misnamed(s)
	}
	for _, need := range row.Needs {
		if lack := s.Lacks[need]; lack != "" {
			return lacks("the target asks for %s (%s), which the tool root lacks", lack, need)
		}
	}
	if s.Applet != "" && len(s.Tool.Applets) > 0 && !slices.Contains(s.Tool.Applets, s.Applet) {
		return lacks("the tool root's %s has no applet %s", tool, s.Applet)
	}
	return loose(s, row, exact(s, row))
}

// exact applies the conditions that near fidelity may ignore.
func exact(s Subject, row Row) verdict {
	switch {
	case row.Identity == identityShown && s.Tool.Identity != s.Target.Name:
		return misnamed(s)
	case row.Libc == libcSame && (s.LibcTarget == "" || s.LibcHost == ""):
		return no("it needs the same C library on both sides, and that is not known")
	case row.Libc == libcSame && s.LibcTarget != s.LibcHost:
		return no("the target has %s, the tool root %s", s.LibcTarget, s.LibcHost)
	}
	if missing, ok := covers(s); !ok {
		return lacks("%s", missing)
	}
	if row.Version == versionAny {
		return verdict{native: true, why: "any version"}
	}
	return sameVersion(s, row)
}

func misnamed(s Subject) verdict {
	return no("it has this machine's name (%s) compiled in, and the tool root has none that says %s", s.Host.Name, s.Target.Name)
}

// covers reports whether a multi-call tool has all the applets of the target's: its shell runs them without exec.
func covers(s Subject) (missing string, ok bool) {
	if s.Applet == "" || len(s.Tool.Applets) == 0 {
		return "", true
	}
	if s.Applets == nil {
		return "the applets of the target's program are not known", false
	}
	var lacks []string
	for _, applet := range s.Applets {
		if !slices.Contains(s.Tool.Applets, applet) {
			lacks = append(lacks, applet)
		}
	}
	if len(lacks) == 0 {
		return "", true
	}
	if len(lacks) > 3 {
		lacks = append(lacks[:3:3], fmt.Sprintf("%d more", len(lacks)-3))
	}
	return fmt.Sprintf("the tool root's program lacks applets of the target's (%s)", strings.Join(lacks, ", ")), false
}

func sameVersion(s Subject, row Row) verdict {
	if s.Versions == nil {
		return no("nobody knows which version the target has")
	}
	evidence, err := s.Versions(row)
	if err != nil {
		return no("its version can't be found out (%v)", err)
	}
	target, tool := evidence.Target, evidence.Tool
	if row.Version != versionFull {
		// Shown as the user knows them; compared below by the row's rule.
		target, tool = significant(target, versionUpstream), significant(tool, versionUpstream)
	}
	switch {
	case target == "":
		return no("the target's program does not tell its version")
	case tool == "":
		return lacks("the tool root's program does not tell its version")
	case significant(target, row.Version) != significant(tool, row.Version):
		return lacks("the target has %s, the tool root %s", target, tool)
	}
	how := ""
	if evidence.How != "" {
		how = " (" + evidence.How + ")"
	}
	if target != tool {
		return verdict{native: true, why: fmt.Sprintf("version %s, the tool root's is %s, which the row allows%s", target, tool, how)}
	}
	return verdict{native: true, why: fmt.Sprintf("version %s on both sides%s", target, how)}
}

// loose lets near fidelity overrule a negative verdict, or tells the user about it.
func loose(s Subject, row Row, v verdict) verdict {
	switch {
	case v.native || !row.Near:
	case s.Fidelity == Near:
		v.native, v.near, v.why = true, true, v.why+", near fidelity ignores that"
	default:
		v.hint = "; --fidelity near would allow it"
	}
	return v
}
