package entry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestForeignPython(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"env/bin", "plain/bin"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, d, "python3"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "env/pyvenv.cfg"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	env, plain := filepath.Join(dir, "env/bin"), filepath.Join(dir, "plain/bin")
	tests := []struct {
		argv0, path, variable, want string
	}{
		{plain + "/python3", "", "", ""},
		{env + "/python3", "", "", "virtual environment"},
		{"python3", plain + ":" + env, "", ""},
		{"python3", env + ":" + plain, "", "virtual environment"},
		{"nobody", env, "", ""},
		{"", env, "", ""},
		{plain + "/python3", "", "PYTHONPATH=/x", "PYTHONPATH is set"},
		{plain + "/python3", "", "PYTHONPATH=", ""},
		{plain + "/python3", "", "PYTHONHOME=/x", "PYTHONHOME is set"},
		{plain + "/python3", "", "PYTHONDONTWRITEBYTECODE=1", ""},
	}
	for _, tt := range tests {
		got := foreignPython([]string{tt.argv0}, []string{"PATH=" + tt.path, tt.variable})
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%+v: %q", tt, got)
		}
	}
	if got := foreignPython(nil, nil); got != "" {
		t.Error(got)
	}
}
