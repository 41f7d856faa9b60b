package main

import (
	"strings"
	"testing"
)

// What go test says becomes sums and an exit status.
func TestSummary(t *testing.T) {
	const a = `"Package":"a"`
	ok := `{"Action":"run",` + a + `,"Test":"T"}
{"Action":"output",` + a + `,"Test":"T","Output":"noise\n"}
{"Action":"pass",` + a + `,"Test":"T"}
{"Action":"output",` + a + `,"Output":"ok  \ta\t0.1s\n"}
{"Action":"pass",` + a + `}
`
	tests := []struct {
		name, events         string
		failed, strict       bool
		code                 int
		contains, containsNo string
	}{
		{"passed", ok, false, true, 0, "ok  \ta\t0.1s\n1 passed, 0 failed, 0 skipped\n", "noise"},
		{"nothing", "", false, false, 1, "no test ran\n0 passed, 0 failed, 0 skipped\n", "ok"},
		{"rows count, tables don't", ok + `{"Action":"run",` + a + `,"Test":"U"}
{"Action":"run",` + a + `,"Test":"U/x"}
{"Action":"run",` + a + `,"Test":"U/y"}
{"Action":"pass",` + a + `,"Test":"U/x"}
{"Action":"output",` + a + `,"Test":"U/y","Output":"why\n"}
{"Action":"fail",` + a + `,"Test":"U/y"}
{"Action":"fail",` + a + `,"Test":"U"}
{"Action":"output",` + a + `,"Output":"FAIL\ta\t0.1s\n"}
{"Action":"fail",` + a + `}
`, true, false, 1, "why\nFAIL\ta\t0.1s\n2 passed, 1 failed, 0 skipped\n", "noise"},
		{"skipped", ok + `{"Action":"output",` + a + `,"Test":"S","Output":"    x_test.go:1: no oracle\n"}
{"Action":"skip",` + a + `,"Test":"S"}
`, false, false, 0, "SKIP a S: x_test.go:1: no oracle\n1 passed, 0 failed, 1 skipped\n", "may be"},
		{"skipped, strictly", ok + `{"Action":"skip",` + a + `,"Test":"S"}
`, false, true, 1, "none may be\n1 passed, 0 failed, 1 skipped\n", "noise"},
		{"a package without tests", ok + `{"Action":"output","Package":"b","Output":"?   \tb\t[no test files]\n"}
{"Action":"skip","Package":"b"}
`, false, true, 0, "1 passed, 0 failed, 0 skipped\n", "no test files"},
		{"not built", ok + `{"ImportPath":"b [b.test]","Action":"build-output","Output":"b.go:1: broken\n"}
{"ImportPath":"b [b.test]","Action":"build-fail"}
{"Action":"output","Package":"b","Output":"FAIL\tb [build failed]\n"}
{"Action":"fail","Package":"b","FailedBuild":"b [b.test]"}
`, true, false, 1, "b.go:1: broken\nFAIL\tb [build failed]\n1 passed, 1 failed, 0 skipped\n", "noise"},
		{"ended by TestMain", ok + `{"Action":"output","Package":"b","Output":"prepare: no luck\n"}
{"Action":"fail","Package":"b"}
`, true, false, 1, "prepare: no luck\n1 passed, 1 failed, 0 skipped\n", "noise"},
		{"not what go test says", ok + "go: no such module\n", true, false, 1, "go: no such module\n1 passed, 1 failed, 0 skipped\n", "noise"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			s := &summary{w: &out, output: map[string][]string{}}
			if err := s.read(strings.NewReader(tt.events)); err != nil {
				t.Fatal(err)
			}
			if code := s.finish(tt.failed, tt.strict); code != tt.code {
				t.Errorf("exit status %d, want %d", code, tt.code)
			}
			if !strings.HasSuffix(out.String(), tt.contains) || strings.Contains(out.String(), tt.containsNo) {
				t.Errorf("printed %q", &out)
			}
		})
	}
}
