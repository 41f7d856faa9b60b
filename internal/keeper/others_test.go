package keeper

import (
	"reflect"
	"testing"

	"github.com/crossroot/crossroot/internal/kernel/binfmt"
)

func TestParseHandler(t *testing.T) {
	for text, want := range map[string]*binfmt.Handler{
		"enabled\ninterpreter /usr/bin/wine\nflags: \noffset 0\nmagic 4d5a\n":            {Interpreter: "/usr/bin/wine", Offset: "0", Magic: []byte("MZ")},
		"enabled\ninterpreter /usr/bin/jexec\nflags: OCF\nextension .jar\n":              {Interpreter: "/usr/bin/jexec", Flags: "OC", Extension: "jar"},
		"enabled\ninterpreter /x y\nflags: P\noffset 4\nmagic 0a0d\nmask ff0f\n":         {Interpreter: "/x y", Flags: "P", Offset: "4", Magic: []byte("\n\r"), Mask: []byte{0xff, 0x0f}},
		"disabled\ninterpreter /usr/bin/wine\nflags: \noffset 0\nmagic 4d5a\n":           nil,
		"enabled\ninterpreter /usr/bin/qemu-arm\nflags: F\noffset 0\nmagic 7f454c4601\n": nil,
		"enabled\ninterpreter /usr/bin/wine\nflags: \noffset 0\nmagic 4d5\n":             nil,
		"enabled\n": nil,
		"enabled":   nil,
		"":          nil,
	} {
		got, ok := parseHandler(text)
		if ok != (want != nil) || ok && !reflect.DeepEqual(got, *want) {
			t.Errorf("%q: %+v, %v, want %+v", text, got, ok, want)
		}
	}
}

func FuzzParseHandler(f *testing.F) {
	f.Add("enabled\ninterpreter /usr/bin/wine\nflags: \noffset 0\nmagic 4d5a\n")
	f.Fuzz(func(t *testing.T, text string) {
		if h, ok := parseHandler(text); ok && h.Interpreter == "" {
			t.Error("a handler without an interpreter")
		}
	})
}
