package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

func median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(times))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// format writes a duration in seconds, or in milliseconds below one.
func format(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// table writes one line for each job: median, range, number of measurements, and the median divided by that of the
// group's crossroot line.
func table(w io.Writer, results []result) {
	rows := [][]string{{"what", "how", "median", "range", "n", "/ crossroot"}}
	base := map[string]time.Duration{}
	for _, r := range results {
		if strings.HasPrefix(r.job.name, "crossroot") && base[r.job.group] == 0 {
			base[r.job.group] = median(r.times)
		}
	}
	for _, r := range results {
		row := []string{r.job.group, r.job.name, "-", lastLine(r.err), "0", ""}
		if len(r.times) > 0 {
			m := median(r.times)
			row[2] = format(m)
			row[3] = format(slices.Min(r.times)) + " to " + format(slices.Max(r.times))
			row[4] = fmt.Sprint(len(r.times))
			if b := base[r.job.group]; b > 0 {
				row[5] = fmt.Sprintf("%.2f", float64(m)/float64(b))
			}
		}
		rows = append(rows, row)
	}
	columns(w, rows)
}

func lastLine(err error) string {
	if err == nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	line := []rune(lines[len(lines)-1])
	if len(line) > 60 {
		line = append(line[:60], '…')
	}
	return string(line)
}

// columns writes rows as a Markdown table that is also aligned.
func columns(w io.Writer, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(w, "| %s%s ", cell, strings.Repeat(" ", width[i]-len([]rune(cell))))
		}
		fmt.Fprintln(w, "|")
		if n == 0 {
			for _, n := range width {
				fmt.Fprintf(w, "|%s", strings.Repeat("-", n+2))
			}
			fmt.Fprintln(w, "|")
		}
	}
}

// goal is a ratio of two medians, or one median, and its limit.
type goal struct {
	text         string
	group        string
	above, below string // job names; the value is above/below, or seconds of above
	limit        float64
	atLeast      bool
}

func wanted() []goal {
	return []goal{
		{"second stage: qemu-user chroot / crossroot, at least 7", stageGroup, "qemu-user chroot", "crossroot", 7, true},
		{"second stage: crossroot / native chroot on the same disk, at most 1.0", stageGroup, "crossroot", "native chroot, disk", 1, false},
		{"second stage: crossroot / native chroot on tmpfs, at most 1.3", stageGroup, "crossroot", "native chroot, tmpfs", 1.3, false},
		{"2000 x true: crossroot / native, at most 1.6", loopGroup, "crossroot", "native chroot", 1.6, false},
		{"warm start: at most 0.060 s", warmGroup, "crossroot run ROOT true", "", 0.060, false},
		{"second stage: crossroot with a twin / native chroot on tmpfs, at most 1.3", stageGroup, "crossroot, twin", "native chroot, tmpfs", 1.3, false},
		{"2000 x true: crossroot with a twin / native, at most 1.6", loopGroup, "crossroot, twin", "native chroot", 1.6, false},
		{"twin of a minimal root from a warm cache: at most 5 s", twinGroup, "crossroot tools twin, packages in the cache", "", 5, false},
		{"packages: crossroot with a twin / same CPU in the same sandbox, at most 1.3", setGroup, "crossroot, twin", "same CPU, crossroot's sandbox", 1.3, false},
		{"mmdebstrap minbase: wrap / same CPU, at most 1.1", minbaseGroup, "crossroot wrap", "same CPU", 1.1, false},
		{"mmdebstrap minbase: qemu-user / wrap, at least 5", minbaseGroup, "qemu-user", "crossroot wrap", 5, true},
		{"mmdebstrap apt: wrap / same CPU, at most 1.4", aptGroup, "crossroot wrap", "same CPU", 1.4, false},
	}
}

// goals writes what was reached and returns how many goals were missed. Unmeasured ones are not missed.
func goals(w io.Writer, results []result) (missed int) {
	find := func(group, name string) float64 {
		for _, r := range results {
			if r.job.group == group && r.job.name == name {
				return median(r.times).Seconds()
			}
		}
		return 0
	}
	rows := [][]string{{"goal", "reached", ""}}
	for _, g := range wanted() {
		value, divisor := find(g.group, g.above), 1.0
		if g.below != "" {
			divisor = find(g.group, g.below)
		}
		row := []string{g.text, "-", "not measured"}
		if value > 0 && divisor > 0 {
			value /= divisor
			row[1], row[2] = fmt.Sprintf("%.3f", value), "yes"
			if (value < g.limit) == g.atLeast && value != g.limit {
				row[2] = "NO"
				missed++
			}
		}
		rows = append(rows, row)
	}
	columns(w, rows)
	return missed
}

// phases adds up what crossroot's report says about its own time.
type phases struct {
	order  []string
	native []float64 // share of executions
	total  int       // executions
	times  map[string][]time.Duration
}

// read takes a report: {"times": [{"phase": …, "micro": …}]}.
func (p *phases) read(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var report struct {
		Times []struct {
			Phase string
			Micro int64
		}
		Programs []struct {
			Outcome string
			Count   int
		}
	}
	if err := json.Unmarshal(data, &report); err != nil {
		return fmt.Errorf("read report: %w", err)
	}
	native, total := 0, 0
	for _, program := range report.Programs {
		total += program.Count
		if program.Outcome == "native" {
			native += program.Count
		}
	}
	if total > 0 {
		p.native, p.total = append(p.native, float64(native)/float64(total)), total
	}
	if p.times == nil {
		p.times = map[string][]time.Duration{}
	}
	seen := map[string]int{}
	for _, t := range report.Times {
		name := t.Phase
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s (%d)", t.Phase, seen[t.Phase])
		}
		if _, ok := p.times[name]; !ok {
			p.order = append(p.order, name)
		}
		p.times[name] = append(p.times[name], time.Duration(t.Micro)*time.Microsecond)
	}
	return nil
}

// breakdown writes the phases of every crossroot job, as medians, and the share of executions that ran natively.
func breakdown(w io.Writer, results []result) {
	rows := [][]string{{"what", "how", "phases"}}
	for _, r := range results {
		var parts []string
		for _, name := range r.phases.order {
			parts = append(parts, name+" "+format(median(r.phases.times[name])))
		}
		if n := len(r.phases.native); n > 0 {
			parts = append(parts, fmt.Sprintf("%.2f %% of %d executions native", 100*r.phases.native[n-1], r.phases.total))
		}
		if len(parts) > 0 {
			rows = append(rows, []string{r.job.group, r.job.name, strings.Join(parts, ", ")})
		}
	}
	columns(w, rows)
}
