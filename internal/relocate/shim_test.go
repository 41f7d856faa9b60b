package relocate

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/crossroot/crossroot/internal/elfimage"
	"github.com/crossroot/crossroot/internal/relocate/tinyelf"
)

func TestShim(t *testing.T) {
	const interp = "/lib64/ld-linux-x86-64.so.2"
	needed := []string{"libm.so.6", "libc.so.6"}
	b := tinyelf.File{Interp: interp, Needed: needed}.Bytes()
	before := bytes.Clone(b)
	changes, err := Rewrite(b, Rules{Kind: Python})
	if err != nil {
		t.Fatal(err)
	}
	checkChanges(t, before, b, changes)
	image, err := elfimage.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	name, ok := Shim(needed)
	if want := []string{name, "libc.so.6"}; !ok || name != "m.so.6" || !slices.Equal(image.Needed(), want) {
		t.Errorf("needs %q, not %q", image.Needed(), want)
	}
	for _, needed := range [][]string{nil, {"python.so"}, {"/lib/libx.so"}} {
		b := tinyelf.File{Interp: interp, Needed: needed}.Bytes()
		if _, err := Rewrite(b, Rules{Kind: Python}); !errors.Is(err, ErrDoesNotFit) {
			t.Errorf("%q: error %v", needed, err)
		}
	}
	// A library of python is needed by one that has the shim.
	library := tinyelf.File{Soname: "libpython3.11.so.1.0", Needed: needed}.Bytes()
	if changes, err := Rewrite(library, Rules{Kind: Python}); err != nil || len(changes) > 0 {
		t.Errorf("%v, %v", changes, err)
	}
}
