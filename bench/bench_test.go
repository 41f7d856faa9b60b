package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		in   []time.Duration
		want time.Duration
	}{{nil, 0}, {[]time.Duration{3}, 3}, {[]time.Duration{5, 1, 3}, 3}, {[]time.Duration{8, 2, 4, 6}, 5}} {
		if got := median(tt.in); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestChoose(t *testing.T) {
	long := 0
	for _, j := range jobs() {
		if j.extra {
			long++
		}
	}
	if all := jobs(); len(choose(all, "")) != len(all)-long || long == 0 {
		t.Error("no choice is not everything but what takes long")
	}
	for only, want := range map[string]int{"2000": 5, "warm start,2000": 8, "proot": 2, "packages": 5, "wrap": 9, "nothing": 0} {
		if got := choose(jobs(), only); len(got) != want {
			t.Errorf("%q chose %d jobs, want %d", only, len(got), want)
		}
	}
}

func results(seconds map[string]float64) []result {
	var list []result
	for _, j := range jobs() {
		r := result{job: j, err: errors.New("more\nnot here\n")}
		if s := seconds[j.group+"/"+j.name]; s > 0 {
			r.err, r.times = nil, []time.Duration{time.Duration(s * 1e9)}
		}
		list = append(list, r)
	}
	return list
}

func TestGoalsAndTable(t *testing.T) {
	good := map[string]float64{
		"second stage/crossroot": 10, "second stage/qemu-user chroot": 70, "second stage/native chroot, disk": 10,
		"second stage/native chroot, tmpfs": 9, "2000 x true/crossroot": 2.5, "2000 x true/native chroot": 1.7,
		"warm start/crossroot run ROOT true": 0.06, "second stage/crossroot, twin": 9.5, "2000 x true/crossroot, twin": 2.6,
		"twin/crossroot tools twin, packages in the cache": 4, "packages/crossroot, twin": 12,
		"packages/same CPU, crossroot's sandbox": 10, "wrap minbase/crossroot wrap": 11,
		"wrap minbase/same CPU": 10, "wrap minbase/qemu-user": 55,
		"wrap apt/crossroot wrap": 14, "wrap apt/same CPU": 10,
	}
	bad := map[string]float64{
		"second stage/crossroot": 10.1, "second stage/qemu-user chroot": 70, "second stage/native chroot, disk": 10,
		"second stage/native chroot, tmpfs": 7, "2000 x true/crossroot": 2.8, "2000 x true/native chroot": 1.7,
		"warm start/crossroot run ROOT true": 0.061, "second stage/crossroot, twin": 9.5, "2000 x true/crossroot, twin": 2.8,
		"twin/crossroot tools twin, packages in the cache": 6, "packages/crossroot, twin": 14,
		"packages/same CPU, crossroot's sandbox": 10, "wrap minbase/crossroot wrap": 12,
		"wrap minbase/same CPU": 10, "wrap minbase/qemu-user": 59,
		"wrap apt/crossroot wrap": 14.1, "wrap apt/same CPU": 10,
	}
	var b bytes.Buffer
	if n := goals(&b, results(good)); n != 0 {
		t.Errorf("%d goals missed:\n%s", n, &b)
	}
	b.Reset()
	if n := goals(&b, results(bad)); n != 12 {
		t.Errorf("%d of 12 goals missed:\n%s", n, &b)
	}
	if n := goals(&b, results(nil)); n != 0 {
		t.Errorf("%d unmeasured goals missed", n)
	}
	b.Reset()
	table(&b, results(good))
	for _, want := range []string{
		"| second stage | qemu-user chroot                            | 70.00 s | 70.00 s to 70.00 s | 1 | 7.00        |",
		"| not here ", "| 60.0 ms ",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}

func TestPhases(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report")
	var p phases
	for _, text := range []string{`{"times":[{"phase":"mounts","micro":1500},{"phase":"mounts","micro":10}]}`,
		`{"Times":[{"Phase":"mounts","Micro":2500}],"Programs":[{"Outcome":"native","Count":3},{"Outcome":"emulate","Count":1}]}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.read(file); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	breakdown(&b, []result{{job: jobs()[0], phases: p}, {job: jobs()[1]}})
	if want := "| second stage | crossroot | mounts 2.0 ms, mounts (2) 0.0 ms, 75.00 % of 4 executions native |\n"; !strings.HasSuffix(b.String(), want) {
		t.Errorf("no %q in\n%s", want, &b)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.read(file); err == nil {
		t.Error("half a report was read")
	}
}
