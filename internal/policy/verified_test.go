package policy

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var verifiedReports = flag.String("verified", "", "with -update: note what these reports of crossroot verify --json prove; files, with commas")

const verifiedFile = "verified.txt"

// verified maps rows of the default policy to the architectures on which their programs ran natively, or as a builtin,
// in a run that left the same as an emulated one.
func verified(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(verifiedFile)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if row, archs, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && !strings.HasPrefix(line, "#") {
			list[row] = strings.Fields(archs)
		}
	}
	return list
}

// addReport notes what a report proves.
func addReport(list map[string][]string, data []byte) error {
	var report struct {
		Same       bool
		Dispatched struct {
			Arch   string
			Report struct {
				Programs []struct {
					Outcome Outcome
					Row     string
				}
			}
		}
	}
	if err := json.Unmarshal(data, &report); err != nil {
		return err
	}
	if !report.Same || report.Dispatched.Arch == "" {
		return fmt.Errorf("the report proves nothing: same %v, architecture %q", report.Same, report.Dispatched.Arch)
	}
	for _, p := range report.Dispatched.Report.Programs {
		if p.Row == "" || p.Outcome != Native && p.Outcome != Builtin || slices.Contains(list[p.Row], report.Dispatched.Arch) {
			continue
		}
		list[p.Row] = append(list[p.Row], report.Dispatched.Arch)
		slices.Sort(list[p.Row])
	}
	return nil
}

// TestVerified keeps verified.txt to rows that there are; with -update and -verified it adds to it.
func TestVerified(t *testing.T) {
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, row := range p.Rows() {
		names[row.Name] = true
	}
	list := verified(t)
	if *update && *verifiedReports != "" {
		for file := range strings.SplitSeq(*verifiedReports, ",") {
			data, err := os.ReadFile(file)
			if err == nil {
				err = addReport(list, data)
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
		maps.DeleteFunc(list, func(row string, _ []string) bool { return !names[row] })
		writeVerified(t, list)
	}
	for row := range list {
		if !names[row] {
			t.Errorf("%s names row %q, which the policy has not", verifiedFile, row)
		}
	}
}

func writeVerified(t *testing.T, list map[string][]string) {
	t.Helper()
	old, err := os.ReadFile(verifiedFile)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(old)) {
		if strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	for _, row := range slices.Sorted(maps.Keys(list)) {
		fmt.Fprintf(&b, "%s\t%s\n", row, strings.Join(list[row], " "))
	}
	if err := os.WriteFile(verifiedFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAddReport(t *testing.T) {
	list := map[string][]string{"sed": {"armhf"}}
	const report = `{"same":%v,"dispatched":{"arch":"arm64","report":{"programs":[
		{"outcome":"native","row":"sed"},{"outcome":"native","row":"sed"},{"outcome":"emulate","row":"perl"},
		{"outcome":"builtin","row":"ldconfig"},{"outcome":"native"}]}}}`
	if err := addReport(list, fmt.Appendf(nil, report, true)); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"sed": {"arm64", "armhf"}, "ldconfig": {"arm64"}}
	if fmt.Sprint(list) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", list, want)
	}
	for _, bad := range []string{fmt.Sprintf(report, false), `{"same":true}`, "{"} {
		if addReport(list, []byte(bad)) == nil {
			t.Errorf("%s proves nothing", bad)
		}
	}
}
