package verify

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func saved(t testing.TB) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ref")
	b := &baseline{Format: baselineFormat, file: name, changed: true, Key: key{Command: []string{"a"}}}
	b.Emulated = emptyResult()
	if err := b.save(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReadBaseline(t *testing.T) {
	good := saved(t)
	b, err := readBaseline(bytes.NewReader(good))
	if err != nil || b.Key.Command[0] != "a" || b.Made.IsZero() {
		t.Fatalf("%+v, %v", b, err)
	}
	packed := func(text string) []byte {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll([]byte(text), nil)
	}
	bad := map[string][]byte{
		"empty": nil, "text": []byte("# a file\n"), "no JSON": packed("x"), "no run": packed(`{"Format":1}`),
		"no report": packed(`{"Format":1,"Emulated":{}}`), "another format": packed(`{"Format":2}`),
		"no manifest": packed(`{"Format":1,"Emulated":{"Report":{}}}`), "long": packed("{}\n" + strings.Repeat("x", 100)),
	}
	for n := range good {
		bad[fmt.Sprint("cut at ", n)] = good[:n]
	}
	for name, data := range bad {
		if _, err := readBaseline(bytes.NewReader(data)); err == nil || !strings.Contains(err.Error(), errNoBaseline.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMismatch(t *testing.T) {
	a := key{Command: []string{"a", "b"}}
	if m := a.mismatch(a); m != "" {
		t.Errorf("equal keys differ in %s", m)
	}
	if m := a.mismatch(key{Command: []string{"a b"}}); m != "COMMAND" {
		t.Errorf("got %q", m)
	}
	if m := a.mismatch(key{Command: a.Command, Root: "x"}); m != "start state of ROOT" {
		t.Errorf("got %q", m)
	}
}

func FuzzReadBaseline(f *testing.F) {
	f.Add(saved(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := readBaseline(bytes.NewReader(data))
		if err == nil && (b.Emulated == nil || b.Emulated.Report == nil) {
			t.Fatal("a baseline without a run")
		}
	})
}
