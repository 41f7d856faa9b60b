package spool

import (
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	big := Facts{MemAvailable: 16 * gib, DiskFree: 100 * gib}
	for name, c := range map[string]struct {
		want   Where
		facts  Facts
		where  Where
		size   int64
		reason string // or the error
	}{
		"plenty":                 {Auto, big, Memory, 8 * gib, "suffices"},
		"little memory":          {Auto, Facts{MemAvailable: gib, DiskFree: 9 * gib}, Disk, 0, "512 MiB"},
		"control group":          {Auto, Facts{MemAvailable: 16 * gib, MemoryLimit: gib, MemoryUsed: gib / 2, DiskFree: 9 * gib}, Disk, 0, "256 MiB"},
		"full control group":     {Auto, Facts{MemAvailable: 16 * gib, MemoryLimit: gib, MemoryUsed: 2 * gib, DiskFree: 9 * gib}, Disk, 0, "only 0"},
		"generous control group": {Auto, Facts{MemAvailable: 8 * gib, MemoryLimit: 64 * gib}, Memory, 4 * gib, "suffices"},
		"large root":             {Auto, Facts{MemAvailable: 16 * gib, RootBytes: 6 * gib, DiskFree: 9 * gib}, Disk, 0, "8192 MiB"},
		"full disk":              {Auto, Facts{MemAvailable: gib, DiskFree: mib}, Memory, gib / 2, "less room"},
		"read-only root":         {Auto, Facts{MemAvailable: gib, DiskFails: "read-only"}, Memory, gib / 2, "read-only"},
		"old kernel":             {Auto, Facts{MemAvailable: 16 * gib, MemoryFails: "no attributes"}, Disk, 0, "no attributes"},
		"nothing":                {Auto, Facts{MemoryFails: "no attributes", DiskFails: "read-only"}, "", 0, "neither"},
		"nothing left":           {Auto, Facts{MemAvailable: mib, DiskFails: "read-only"}, "", 0, "read-only"},
		"memory wanted":          {Memory, Facts{MemAvailable: 100 * mib}, Memory, 50 * mib, "asked"},
		"too little for it":      {Memory, Facts{MemAvailable: 10 * mib}, "", 0, "5 MiB"},
		"memory impossible":      {Memory, Facts{MemAvailable: gib, MemoryFails: "no attributes"}, "", 0, "--spool disk"},
		"disk wanted":            {Disk, big, Disk, 0, "asked"},
		"disk impossible":        {Disk, Facts{DiskFails: "read-only"}, "", 0, "--spool memory"},
		"nonsense":               {"ram", big, "", 0, `"ram"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Choose(c.want, c.facts)
			text := got.Reason
			if err != nil {
				text = err.Error()
			}
			if got.Where != c.where || got.Size != c.size || (err != nil) != (c.where == "") || !strings.Contains(text, c.reason) {
				t.Errorf("Choose(%s, %+v) = %+v, %v", c.want, c.facts, got, err)
			}
			if got.Where == Memory && got.Inodes <= 0 {
				t.Error("no inodes")
			}
		})
	}
}

func TestLooksFull(t *testing.T) {
	for _, c := range []struct {
		s    Space
		want bool
	}{
		{Space{}, false},
		{Space{Bytes: 0, TotalBytes: gib}, true},
		{Space{Bytes: 4096, TotalBytes: gib}, true},
		{Space{Bytes: 2 * mib, TotalBytes: gib}, false},
		{Space{Bytes: 2 * mib, TotalBytes: gib, TotalInodes: 100}, true},
		{Space{Bytes: 2 * mib, TotalBytes: gib, Inodes: 1, TotalInodes: 100}, false},
		{Space{Bytes: 100 << 10, TotalBytes: 8 * mib}, false},
	} {
		if got := LooksFull(c.s); got != c.want {
			t.Errorf("LooksFull(%+v) = %v", c.s, got)
		}
	}
}
