package ischroot

import (
	"bytes"
	"strings"
	"testing"
)

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		args string
		want int
	}{{"", 0}, {"ischroot", 0}, {"ischroot -t", 0}, {"ischroot --default-false", 0}, {"ischroot --help", 0}, {"ischroot -x", 1}} {
		var out, errs bytes.Buffer
		if got := Main(strings.Fields(c.args), &out, &errs); got != c.want || (errs.Len() > 0) != (c.want == 1) {
			t.Errorf("%q: %d %q", c.args, got, errs.String())
		}
	}
}
