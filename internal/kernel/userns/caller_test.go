package userns

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestCallerMap(t *testing.T) {
	initial := []Range{{0, 0, 1<<32 - 1}}
	subordinate := []byte("ann:200000:65536\n")
	tests := []struct {
		name     string
		caller   Caller
		identity bool
		want     []Range
		helper   bool
		err      error
	}{
		{"real root", Caller{UIDs: initial, GIDs: initial}, false, []Range{{0, Shift, Count}}, false, nil},
		{"real root without idmapped mounts", Caller{UIDs: initial, GIDs: initial}, true, []Range{{0, 0, Count}}, false, nil},
		{"real root without /proc", Caller{}, false, []Range{{0, Shift, Count}}, false, nil},
		{"user", Caller{UID: 7, GID: 7, Name: "ann", UIDs: initial, SubUID: subordinate, SubGID: subordinate}, false,
			[]Range{{0, 7, 1}, {1, 200000, 65536}}, true, nil},
		{"user without a range", Caller{UID: 7, GID: 7, Name: "joe", UIDs: initial, SubUID: subordinate, SubGID: subordinate}, false,
			nil, false, ErrNoSubIDs},
		{"root of a container", Caller{UIDs: parseMap("0 1001 1\n1 100000 65535\n"), GIDs: parseMap("0 100000 100000\n")}, false,
			[]Range{{0, 0, 1}, {1, 1, 65535}}, false, nil},
		{"root of a namespace of one id", Caller{UIDs: parseMap("0 1001 1\n"), GIDs: parseMap("0 1001 1\n")}, false, nil, false, ErrFewIDs},
		{"a gap", Caller{UIDs: parseMap("0 1 10\n11 50 70000\n"), GIDs: initial}, false, nil, false, ErrFewIDs},
	}
	for _, tt := range tests {
		m, err := tt.caller.Map(tt.identity)
		if !errors.Is(err, tt.err) || (tt.err == nil) != (err == nil) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.err)
			continue
		}
		if err == nil && (!reflect.DeepEqual(m.UIDs, tt.want) || m.Helper != tt.helper) {
			t.Errorf("%s: %+v", tt.name, m)
		}
	}
}

func TestReadCaller(t *testing.T) {
	c := ReadCaller()
	if c.Name == "" || len(c.UIDs) == 0 || strings.Contains(c.Name, ":") {
		t.Errorf("%+v", c)
	}
}

func TestFirstFree(t *testing.T) {
	if n := FirstFree(nil, []byte("x:y:z\nbad\n")); n != 100000 {
		t.Errorf("in empty files: %d", n)
	}
	if n := FirstFree([]byte("ann:100000:65536\n"), []byte("joe:165536:70000\n")); n != 235536 {
		t.Errorf("behind two: %d", n)
	}
}

// A builder of real root is to see that it is in a namespace: by the map of all ids tools recognize the machine's own.
func TestBuilderMap(t *testing.T) {
	for _, tt := range []struct{ outer, want []Range }{
		{nil, []Range{{0, 0, 1<<32 - 2}}},
		{[]Range{{0, 0, 1<<32 - 1}}, []Range{{0, 0, 1<<32 - 2}}},
		{[]Range{{0, 1001, 1}, {1, 100000, 65535}}, []Range{{0, 0, 1}, {1, 1, 65535}}},
	} {
		m, err := Caller{UIDs: tt.outer, GIDs: tt.outer}.BuilderMap()
		if err != nil || !reflect.DeepEqual(m.UIDs, tt.want) || !reflect.DeepEqual(m.GIDs, tt.want) {
			t.Errorf("of %v: %+v %v", tt.outer, m, err)
		}
	}
}
