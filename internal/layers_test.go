// Package internal holds the rules of the house as tests: which room may know of which.
package internal

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/crossroot/crossroot/"

// layers are the rooms from the top of the house to its foundations. A package imports only packages of lower layers,
// and those of its own layer where peers is set. The two lowest never know of each other.
var layers = []struct {
	name     string
	packages []string // patterns of path.Match
	peers    bool
}{
	{"doorway", []string{"cmd/crossroot", "cmd/crossroot-fetch"}, false},
	{"bench", []string{"bench", "test/*", "test/*/*"}, true}, // may use everything below; nothing uses them
	{"verbs", []string{"internal/cli", "internal/cli/*"}, true},
	{"outside", []string{"internal/session", "internal/wrap", "internal/doctor", "internal/demo", "internal/verify"}, true},
	{"inside", []string{"internal/worker", "internal/keeper", "internal/entry"}, false},
	{"first process, answers", []string{"internal/pid1", "internal/broker", "internal/exempt"}, false},
	{"twins, audits", []string{"internal/twin", "internal/audit"}, false},
	{"parts", []string{"internal/toolroot", "internal/transaction", "internal/tree", "internal/standin", "internal/builtin/*", "internal/debian/repo"}, false},
	{"pieces", []string{"internal/debian/archive/debmake", "internal/debian/unpack", "internal/transaction/*", "internal/twin/state", "internal/dispatcher/image", "internal/protocol", "internal/fetch"}, false},
	{"kernel", []string{"internal/kernel/*"}, true},
	{"formats", formats, true},
}

// formats are pure: bytes in, values out.
var formats = []string{
	"internal/arch", "internal/debian/*", "internal/dispatcher", "internal/elfimage", "internal/elfimage/*", "internal/ldcache",
	"internal/perlfarm", "internal/policy", "internal/relocate", "internal/relocate/*",
}

// impure are the standard library's doors to the machine, which formats leave shut.
var impure = []string{"os", "os/exec", "os/signal", "os/user", "net", "syscall", "golang.org/x/sys/unix"}

// systemCallers may import x/sys/unix although they aren't kernel packages: why.
var systemCallers = map[string]string{
	"internal/broker":   "tells error numbers apart, keeps inodes by their numbers",
	"internal/cli":      "error numbers of a failed exec",
	"internal/doctor":   "probes by trying",
	"internal/entry":    "becomes another program",
	"internal/keeper":   "is a wrap's layout of mounts, answers with descriptors of other namespaces, and is the builder's first process",
	"internal/pid1":     "is the first process of a pid namespace",
	"internal/session":  "starts the worker, locks, forwards signals, proxies terminals",
	"internal/toolroot": "locks and replaces files of the cache",
	"internal/worker":   "is the run's layout of mounts",
	"internal/wrap":     "starts the keeper, forwards signals",
}

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
	CgoFiles   []string
	Incomplete bool
}

// list runs go list as the release is built: without cgo, for the CPU given.
func list(t *testing.T, goarch string, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports,Deps,CgoFiles,Incomplete"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// layer is the index of the first of the layers that has the package, -1 for one that isn't in the table.
func layer(name string) int {
	for i, l := range layers {
		if matches(l.packages, name) {
			return i
		}
	}
	return -1
}

func TestArrowsPointDown(t *testing.T) {
	kernel := len(layers) - 2
	for _, p := range list(t, "amd64", module+"...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if name == "internal" {
			continue
		}
		from := layer(name)
		if from < 0 {
			t.Errorf("%s is in no layer: give it a place in the table of layers_test.go", name)
			continue
		}
		for _, i := range p.Imports {
			imported, own := strings.CutPrefix(i, module)
			if !own {
				continue
			}
			switch to := layer(imported); {
			case to < 0: // told by its own turn
			case to == from && layers[from].peers:
			case to <= from:
				t.Errorf("%s (%s) imports %s (%s): arrows point down", name, layers[from].name, imported, layers[to].name)
			case from == kernel:
				t.Errorf("%s (kernel) imports %s (%s): the two never know of each other", name, imported, layers[to].name)
			}
		}
	}
}

func TestFormatsArePure(t *testing.T) {
	for _, p := range list(t, "amd64", module+"internal/...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if layer(name) != len(layers)-1 {
			continue
		}
		for _, i := range p.Imports {
			if slices.Contains(impure, i) {
				t.Errorf("%s, a format, imports %s", name, i)
			}
		}
	}
}

func TestSystemCallers(t *testing.T) {
	used := map[string]bool{}
	for _, p := range list(t, "amd64", module+"internal/...", module+"cmd/...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if !slices.Contains(p.Imports, "golang.org/x/sys/unix") || strings.HasPrefix(name, "internal/kernel/") {
			continue
		}
		used[name] = true
		if systemCallers[name] == "" {
			t.Errorf("%s imports x/sys/unix: put what needs it into a package under internal/kernel, or say why not in layers_test.go", name)
		}
	}
	for name := range systemCallers {
		if !used[name] {
			t.Logf("%s needs no x/sys/unix any more", name)
		}
	}
}

// The executable is also the dispatcher, which runs without a loader: nothing may make it dynamic. With cgo on, net and
// os/user would.
func TestStatic(t *testing.T) {
	for _, goarch := range []string{"amd64", "arm64"} {
		for _, p := range list(t, goarch, "-deps", module+"cmd/crossroot") {
			if p.ImportPath == "net" || p.ImportPath == "os/user" || p.ImportPath == "runtime/cgo" || p.ImportPath == "plugin" || len(p.CgoFiles) > 0 {
				t.Errorf("on %s crossroot depends on %s", goarch, p.ImportPath)
			}
		}
	}
}

var update = flag.Bool("update", false, "write deps.txt anew")

// What the executable is made of: a change of this list is a change to think about.
func TestDependencies(t *testing.T) {
	var names []string
	for _, p := range list(t, "amd64", "-deps", module+"cmd/crossroot") {
		parts := strings.Split(p.ImportPath, "/")
		if strings.HasPrefix(p.ImportPath, module) || p.Standard && (slices.Contains(parts, "internal") || parts[0] == "vendor") {
			continue
		}
		names = append(names, p.ImportPath)
	}
	slices.Sort(names)
	got := strings.Join(names, "\n") + "\n"
	if *update {
		if err := os.WriteFile("deps.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Fields(string(want))
	for _, n := range names {
		if !slices.Contains(old, n) {
			t.Errorf("new dependency %s (deps.txt: go test ./internal -update)", n)
		}
	}
	for _, n := range old {
		if !slices.Contains(names, n) {
			t.Errorf("dependency %s is gone (deps.txt: go test ./internal -update)", n)
		}
	}
}
