package entry

import (
	"os"
	"path"
	"strings"
)

// foreignPython says why a python that may run natively must not: it may find binary modules that nobody looked at, ""
// if nothing leads it to any. Elsewhere than in a virtual environment, and with no variable set, python's modules are
// those that the broker looked at.
func foreignPython(argv, env []string) string {
	value := map[string]string{}
	for _, e := range env {
		name, v, _ := strings.Cut(e, "=")
		value[name] = v
	}
	for _, name := range []string{"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPLATLIBDIR"} {
		if value[name] != "" {
			return name + " is set"
		}
	}
	// Modules/getpath.py: pyvenv.cfg lies beside the program's directory, or in it. The program is argv[0], looked for
	// in PATH as a shell would.
	program := ""
	if len(argv) > 0 {
		program = argv[0]
	}
	if program != "" && !strings.Contains(program, "/") {
		program = search(program, value["PATH"])
	}
	if program == "" {
		return ""
	}
	dir := path.Dir(program)
	for _, cfg := range []string{dir + "/pyvenv.cfg", path.Dir(dir) + "/pyvenv.cfg"} {
		if _, err := os.Stat(cfg); err == nil {
			return "it belongs to a virtual environment"
		}
	}
	return ""
}

// search finds an executable in a list of directories.
func search(name, dirs string) string {
	for dir := range strings.SplitSeq(dirs, ":") {
		file := path.Join(dir, name)
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}
