package verify

import (
	"testing"

	"github.com/crossroot/crossroot/internal/exempt"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/tree"
)

func result(t *testing.T, entries ...tree.Entry) *session.Result {
	t.Helper()
	var text writer
	if err := (&tree.Manifest{Entries: entries}).Write(&text); err != nil {
		t.Fatal(err)
	}
	return &session.Result{Manifest: text, Report: &protocol.Report{}}
}

// emptyResult is a run that changed nothing.
func emptyResult() *session.Result {
	var text writer
	_ = (&tree.Manifest{}).Write(&text)
	return &session.Result{Manifest: text, Report: &protocol.Report{}}
}

type writer []byte

func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

func file(path, hash string) tree.Entry {
	for len(hash) < 64 {
		hash += "0"
	}
	return tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Size: 1, Hash: hash}
}

func TestJudge(t *testing.T) {
	r := &Result{
		Dispatched: result(t, file("etc/a", "1"), file("etc/b", "1"), file("etc/key", "1"), file("var/cache/ldconfig/aux-cache", "1")),
		Emulated:   result(t, file("etc/a", "1"), file("etc/b", "2"), file("etc/key", "2"), file("var/cache/ldconfig/aux-cache", "2")),
	}
	list, err := exempt.Default()
	if err != nil {
		t.Fatal(err)
	}
	v := &verifier{result: r, list: list, unstable: map[place]bool{{"etc/key", tree.Content}: true}}
	if err := v.judge(); err != nil {
		t.Fatal(err)
	}
	if len(r.Differences) != 1 || r.Differences[0].Path != "etc/b" || r.Same() {
		t.Errorf("differences: %v", r.Differences)
	}
	if len(r.Exempt) != 2 {
		t.Errorf("exempt: %v", r.Exempt)
	}
	r.Differences = nil
	if !r.Same() {
		t.Error("nothing differs")
	}
	r.Emulated.Exit.Code = 1
	if r.Same() {
		t.Error("exit codes differ")
	}
}
