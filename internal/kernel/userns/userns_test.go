package userns

import (
	"errors"
	"strings"
	"testing"
)

func TestForUser(t *testing.T) {
	tests := []struct {
		name, sub string
		want      Range
		err       string
	}{
		{"by name", "joe:100000:65536\nann:200000:65536\n", Range{1, 200000, 65536}, ""},
		{"by number", "1001:300000:65536\n", Range{1, 300000, 65536}, ""},
		{"too small, then big enough", "ann:5:10\nann:200000:70000\n", Range{1, 200000, 65536}, ""},
		{"too small", "ann:5:10\n", Range{}, "gives ann only 10 ids"},
		{"missing", "joe:100000:65536\n", Range{}, "has none for ann"},
		{"nonsense", "ann:x:y\nann:-5:65536\nann\n::\n", Range{}, "has none for ann"},
	}
	for _, tt := range tests {
		m, err := ForUser("ann", 1001, 1002, strings.NewReader(tt.sub), strings.NewReader(tt.sub))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, ErrNoSubIDs) {
				t.Errorf("%s: error %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil || m.UIDs[1] != tt.want || m.UIDs[0] != (Range{0, 1001, 1}) || m.GIDs[0] != (Range{0, 1002, 1}) {
			t.Errorf("%s: %+v, %v", tt.name, m, err)
		}
		if id, ok := Host(m.UIDs, 1); !ok || id != tt.want.Outside {
			t.Errorf("%s: id 1 is %d, %v on the host", tt.name, id, ok)
		}
		if id, ok := Inside(m.UIDs, 1001); !ok || id != 0 {
			t.Errorf("%s: the user is %d, %v inside", tt.name, id, ok)
		}
	}
}
