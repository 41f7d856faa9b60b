package policy

import "testing"

func TestShippedPoliciesParse(t *testing.T) {
	if _, err := Default(); err != nil {
		t.Error(err)
	}
	for _, name := range Names() {
		if _, err := Shipped(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := Shipped("nothing"); err == nil {
		t.Error("Shipped accepts an unknown name")
	}
}

// A word in angle brackets stands for one directory, whatever the word is.
func TestPlaceholder(t *testing.T) {
	for path, want := range map[string]string{
		"/usr/lib/postgresql/15/bin/initdb":                "database servers",
		"/usr/lib/postgresql/15/lib/bin/initdb":            "",
		"/usr/lib/jvm/java-17-openjdk-armhf/bin/java":      "other languages",
		"/usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1": "loader",
		"/usr/lib/ld-linux-armhf.so.3":                     "loader",
	} {
		p, err := Default()
		if err != nil {
			t.Fatal(err)
		}
		if row, _ := p.Match(path, false, ""); row.Name != want {
			t.Errorf("%s: row %q, want %q", path, row.Name, want)
		}
	}
}
