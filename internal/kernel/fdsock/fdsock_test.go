package fdsock

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

func TestMessagesAndDescriptors(t *testing.T) {
	a, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	b := Open(file)
	r, w, _ := os.Pipe()
	long := strings.Repeat("x", 1<<20)
	go func() {
		_ = a.Send(map[string]string{"k": long}, w)
		_ = a.Send(map[string]string{"k": "second \xff\x00"})
		a.Close()
	}()
	var got map[string]string
	files, err := b.Receive(&got)
	if err != nil || got["k"] != long || len(files) != 1 {
		t.Fatalf("first: %d bytes, %d files, %v", len(got["k"]), len(files), err)
	}
	w.Close()
	_, _ = files[0].WriteString("hi")
	files[0].Close()
	if text, _ := io.ReadAll(r); string(text) != "hi" {
		t.Errorf("through the descriptor: %q", text)
	}
	if files, err = b.Receive(&got); err != nil || got["k"] != "second \xff\x00" || len(files) != 0 {
		t.Fatalf("second: %v %v", got, err)
	}
	if _, err = b.Receive(&got); !errors.Is(err, io.EOF) {
		t.Fatalf("after close: %v", err)
	}
}
