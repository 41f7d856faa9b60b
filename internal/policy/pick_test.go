package policy

import (
	"strings"
	"testing"
)

func TestGlob(t *testing.T) {
	tests := []struct {
		pattern, word string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"a", "a", true},
		{"a", "ab", false},
		{"*", "", true},
		{"*", "/a/b", true},
		{"a*c", "abbc", true},
		{"a*c", "abbd", false},
		{"*a*b", "xaxbxb", true},
		{"**", "x", true},
		{"?", "é", true},
		{"?", "", false},
		{"[a-c]x", "bx", true},
		{"[!a-c]x", "bx", false},
		{"[!a-c]x", "dx", true},
		{"[", "[", true},
		{"[a", "[a", true},
		{"-[!-]*a*", "-ta", true},
		{"-[!-]*a*", "--all", false},
		{"start|stop", "stop", true},
		{"start|stop", "start|stop", false},
		{"start|stop", "restart", false},
		{strings.Repeat("*a", 30), strings.Repeat("a", 40) + "b", false},
	}
	for _, test := range tests {
		if got := glob(test.pattern, test.word); got != test.want {
			t.Errorf("glob(%q, %q) = %v", test.pattern, test.word, got)
		}
	}
}

func TestPick(t *testing.T) {
	is := func(name string) Decision { return Decision{Outcome: Stub, Reason: name} }
	d := Decision{
		Outcome: Native, Reason: "default", Valued: []string{"-t", "--root"},
		ByArgs: []ArgCase{
			{Called: []string{"halt", "re*"}, Then: is("called")},
			{Verb: []string{"start", "*reload"}, Then: is("verb")},
			{Args: []string{"add", "to|into", "*.conf"}, Then: is("args")},
			{Verb: []string{"both"}, Args: []string{"--now"}, Then: is("both")},
			{NoOperands: true, Then: is("none")},
		},
	}
	tests := []struct{ call, want string }{
		{"prog", "none"},
		{"prog -v -t ext4", "none"},
		{"prog -", "default"},
		{"prog -- -v", "default"},
		{"prog x", "default"},
		{"/sbin/halt x", "called"},
		{"-reboot x", "called"},
		{"prog start x", "verb"},
		{"prog -q start x", "verb"},
		{"prog --root /r start x", "verb"},
		{"prog --root=/r daemon-reload", "verb"},
		{"prog x start", "default"},
		{"prog -t start x", "default"},
		{"prog -- start", "verb"},
		{"prog x add y to z /etc/a.conf", "args"},
		{"prog into add a.conf", "default"},
		{"prog both", "default"},
		{"prog both --now", "both"},
		{"prog --now both", "both"},
	}
	for _, test := range tests {
		got := Pick(d, strings.Fields(test.call))
		if got.Reason != test.want || got.ByArgs != nil || got.Valued != nil {
			t.Errorf("%s: got %+v, want %s", test.call, got, test.want)
		}
	}
	if got := Pick(d, nil); got.Reason != "none" {
		t.Errorf("no argv: got %+v", got)
	}
}

func TestPickApplet(t *testing.T) {
	d := Decision{Applet: "mount", ByArgs: []ArgCase{{NoOperands: true, Then: Decision{Outcome: Native}}}, Outcome: Stub}
	for call, want := range map[string]Outcome{
		"mount":                Native,
		"busybox mount":        Native,
		"busybox mount -t x":   Stub,
		"mount mount":          Stub,
		"/bin/busybox mount a": Stub,
	} {
		if got := Pick(d, strings.Fields(call)).Outcome; got != want {
			t.Errorf("%s: got %s, want %s", call, got, want)
		}
	}
}

func TestSignificant(t *testing.T) {
	tests := []struct{ version, series, upstream, full string }{
		{"9.1-1", "9", "9.1", "9.1-1"},
		{"1:4.13+dfsg1-1+deb12u2", "4", "4.13", "1:4.13+dfsg1-1+deb12u2"},
		{"5.2.15-2+b8", "5.2", "5.2.15", "5.2.15-2"},
		{"1:2.66-4+deb12u3+b1", "2", "2.66", "1:2.66-4+deb12u3"},
		{"1.21.22", "1.21", "1.21.22", "1.21.22"},
		{"252.38-1~deb12u1", "252", "252.38", "252.38-1~deb12u1"},
		{"5.7-0.5~deb12u1", "5", "5.7", "5.7-0.5~deb12u1"},
		{"3.23+nmu1", "3.23+nmu1", "3.23+nmu1", "3.23+nmu1"},
		{"1.35.0 (Debian 1:1.35.0-4+b3)", "1.35.0 (Debian 1:1.35.0", "1.35.0 (Debian 1:1.35.0", "1.35.0 (Debian 1:1.35.0-4)"},
		{" 252 ", "252", "252", "252"},
		{"", "", "", ""},
	}
	for _, test := range tests {
		for rule, want := range map[string]string{"series": test.series, "upstream": test.upstream, "full": test.full} {
			if got := significant(test.version, rule); got != want {
				t.Errorf("significant(%q, %s) = %q, want %q", test.version, rule, got, want)
			}
		}
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"/bin/sh": "/usr/bin/sh", "/sbin/../bin/x": "/usr/bin/x", "/lib64/ld.so": "/usr/lib64/ld.so", "/lib": "/lib",
		"/opt/x": "/opt/x", "usr/bin/x": "/usr/bin/x", "/../etc/init.d/x": "/etc/init.d/x", "": "/", "/library/x": "/library/x",
	} {
		if got := Canonical(in); got != want {
			t.Errorf("Canonical(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNamesPath(t *testing.T) {
	tests := []struct {
		program, path string
		want          bool
	}{
		{"dash", "/usr/bin/dash", true},
		{"dash", "/usr/sbin/dash", true},
		{"dash", "/usr/local/bin/dash", false},
		{"[", "/usr/bin/[", true},
		{"perl5.*", "/usr/bin/perl5.36.0", true},
		{"/opt/x*", "/opt/xy", true},
		{"/opt/x*", "/opt/x/y", false},
		{"/etc/init.d/*", "/etc/init.d/ssh", true},
		{"/usr/lib/<triplet>/d/x", "/usr/lib/arm-linux-gnueabihf/d/x", true},
		{"/usr/lib/<triplet>/d/x", "/usr/lib/a/b/d/x", false},
		{"/usr/lib/<triplet>/d/x", "/usr/lib/d/x", false},
		{"/usr/lib/<triplet>/d/x", "/usr/lib//d/x", false},
	}
	for _, test := range tests {
		if got := namesPath(test.program, test.path); got != test.want {
			t.Errorf("namesPath(%q, %q) = %v", test.program, test.path, got)
		}
	}
}
