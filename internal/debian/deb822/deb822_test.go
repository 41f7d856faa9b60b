package deb822

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func readAll(text string, o Options) (all []Stanza, err error) {
	r := NewReader(strings.NewReader(text), o)
	for {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
}

func TestRead(t *testing.T) {
	byHand := Options{Handwritten: true}
	for name, c := range map[string]struct {
		text string
		o    Options
		want []Stanza
		err  string
	}{
		"nothing":      {text: ""},
		"only blanks":  {text: "\n\n\n"},
		"one":          {text: "A: b\n", want: []Stanza{{1, []Field{{"A", "b"}}}}},
		"no newline":   {text: "A: b", want: []Stanza{{1, []Field{{"A", "b"}}}}},
		"two":          {text: "\nA:b\nC:\t d e \n\n\nE:\n", want: []Stanza{{2, []Field{{"A", "b"}, {"C", "d e"}}}, {6, []Field{{"E", ""}}}}},
		"lines":        {text: "D: short\n long\n  more\n .\n end\nE: x\n", want: []Stanza{{1, []Field{{"D", "short\nlong\n more\n.\nend"}, {"E", "x"}}}}},
		"folded":       {text: "SHA256:\n aa 1 x\n bb 2 y\n", want: []Stanza{{1, []Field{{"SHA256", "\naa 1 x\nbb 2 y"}}}}},
		"comments":     {text: "# c\n\n# c\nA: b\r\n# c\n c\r\n \t\nD: e\n", o: byHand, want: []Stanza{{4, []Field{{"A", "b\nc"}}}, {8, []Field{{"D", "e"}}}}},
		"comment":      {text: "# c\nA: b\n", err: "line 1: no colon"},
		"twice":        {text: "A: b\na: c\n", err: "line 2: field a is there twice"},
		"no field":     {text: " A: b\n", err: "line 1: continuation line without a field"},
		"no colon":     {text: "A: b\nevil\n", err: `line 2: no colon after a field name in "evil"`},
		"no name":      {text: "A: b\n\n: c\n", err: `line 3: invalid field name ""`},
		"blank name":   {text: "A : c\n", err: `line 1: invalid field name "A "`},
		"CR":           {text: "A: b\rPackage: evil\n", err: "line 1: control character 0x0d"},
		"NUL":          {text: "A: b\x00\n", err: "line 1: control character 0x00"},
		"VT":           {text: "A: b\n \vc\n", err: "line 2: control character 0x0b"},
		"blanks":       {text: "A: b\n \t\nB: c\n", err: "line 2: blank line in a stanza"},
		"long line":    {text: "A: b\nB: cccccccccc\n", o: Options{MaxLine: 8}, err: "line 2: longer than 8 bytes"},
		"long stanza":  {text: "A: b\n b\n b\n b\n", o: Options{MaxStanza: 10}, err: "line 3: stanza is longer than 10 bytes"},
		"many fields":  {text: "A:\nB:\nC:\n", o: Options{MaxFields: 2}, err: "line 3: more than 2 fields"},
		"after a good": {text: "A: b\n\nbad\n", err: "line 3:"},
	} {
		got, err := readAll(c.text, c.o)
		if c.err != "" {
			var e *Error
			if err == nil || !strings.HasPrefix(err.Error(), c.err) || !errors.As(err, &e) {
				t.Errorf("%s: error %v, want %s", name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
	}
}

func TestErrorStays(t *testing.T) {
	r := NewReader(strings.NewReader("bad\n\nA: b\n"), Options{})
	_, first := r.Next()
	if _, second := r.Next(); first == nil || !errors.Is(second, first) {
		t.Errorf("first %v, then %v", first, second)
	}
}

func TestWrite(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, []Field{{"Package", "x"}, {"Description", "short\nlong\n.\n more"}, {"Empty", ""}}); err != nil {
		t.Fatal(err)
	}
	if want := "Package: x\nDescription: short\n long\n .\n  more\nEmpty:\n\n"; b.String() != want {
		t.Errorf("got %q", b.String())
	}
	for _, bad := range [][]Field{
		{{"A", "x\n\nPackage: evil"}}, {{"A", "x"}, {"a", "y"}}, {{"A B", "x"}}, {{"", "x"}}, {{"A", "x\ry"}}, {{"A", " x"}},
		{{"A\nB", "x"}}, {{"#A", "x"}},
	} {
		if err := Write(io.Discard, bad); err == nil {
			t.Errorf("wrote %q", bad)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add("A: b\n c\n\nD:\n", false)
	f.Add("# x\r\nA: b\r\n \r\nC: d", true)
	f.Fuzz(func(t *testing.T, text string, byHand bool) {
		all, err := readAll(text, Options{Handwritten: byHand, MaxStanza: 1 << 16})
		if err != nil || byHand {
			return
		}
		var b strings.Builder
		for _, s := range all {
			if err := Write(&b, s.Fields); err != nil {
				t.Fatalf("read but can't write: %v", err)
			}
		}
		again, err := readAll(b.String(), Options{})
		if err != nil || len(again) != len(all) {
			t.Fatalf("%d stanzas, again %d, %v", len(all), len(again), err)
		}
		for i := range all {
			if d := cmp.Diff(all[i].Fields, again[i].Fields); d != "" {
				t.Fatal(d)
			}
		}
	})
}
