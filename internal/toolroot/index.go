package toolroot

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/crossroot/crossroot/internal/relocate"
)

// Index says what is in a tool root.
type Index struct {
	Format  int     `json:"format"`
	Source  string  `json:"source"`  // host directory it was made from
	Host    string  `json:"host"`    // architecture, Debian's name
	LibDir  string  `json:"lib_dir"` // where the source keeps libraries: /usr/lib/<triplet>
	Loader  string  `json:"loader"`  // the source's program interpreter, "" if all programs are static
	Files   int     `json:"files"`   // number of files
	Bytes   int64   `json:"bytes"`   // and their size
	Tools   []Tool  `json:"tools"`
	Perl    *Perl   `json:"perl,omitempty"`
	Python  *Python `json:"python,omitempty"`
	Skipped []Skip  `json:"skipped,omitempty"`

	names map[string]int // path in a root → index in Tools
}

// Tool is a program.
type Tool struct {
	Path    string   `json:"path"`            // inside: /.cr/bin/dash
	Source  string   `json:"source"`          // in the source root: /usr/bin/dash
	Names   []string `json:"names,omitempty"` // further paths in the source root that lead to it, but for other spellings of Source
	Size    int64    `json:"size"`            // bytes
	BuildID string   `json:"build_id,omitempty"`
	Static  bool     `json:"static,omitempty"`
	// Package and PackageVersion as the source's package manager has them, ""
	// where it is unknown.
	Package        string `json:"package,omitempty"`
	PackageVersion string `json:"version,omitempty"`
	// Applets of a multi-call program, in the program's own order.
	Applets []string `json:"applets,omitempty"`
	// Identity is the family of programs that have the CPU's name compiled in,
	// if it was replaced by the target's; the others of the family are
	// Unavailable, or, where they only show the name, as they were.
	Identity string `json:"identity,omitempty"`
	// Unavailable says why the tool can't be used for this target.
	Unavailable string `json:"unavailable,omitempty"`
	// Rewrites are what relocation changed; only after ReadRewrites.
	Rewrites []relocate.Change `json:"-"`
}

// Perl says where the relocated perl looks for what depends on the CPU.
type Perl struct {
	Version string    `json:"version"` // 5.36.0
	Dirs    []PerlDir `json:"dirs"`
	// Packages are the versions of the packages that the shared objects belong to.
	Packages map[string]string `json:"packages,omitempty"`
}

// PerlDir is a directory of @INC that depends on the CPU.
type PerlDir struct {
	Source string   `json:"source"`       // /usr/lib/x86_64-linux-gnu/perl/5.36
	Farm   string   `json:"farm"`         // perl: inside, the directory is a link to /.cr/perl/perl
	XS     []string `json:"xs,omitempty"` // auto/POSIX/POSIX.so: inside, /.cr/perl-xs/perl/auto/POSIX/POSIX.so
	// Owners are the packages that these belong to, as far as known.
	Owners map[string]string `json:"owners,omitempty"`
}

// Skip is a program of the source that was left out.
type Skip struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
}

// File is any file of the tool root.
type File struct {
	Path     string            `json:"path"`   // relative to Base or Variant
	Source   string            `json:"source"` // in the source root
	Size     int64             `json:"size"`
	Package  string            `json:"package,omitempty"`
	Version  string            `json:"version,omitempty"`
	Made     string            `json:"made,omitempty"` // from which state of Source, and how
	Rewrites []relocate.Change `json:"rewrites,omitempty"`
}

const (
	format     = 11
	indexName  = "index.json" // in Base: an Index; in Variant: a list of Tools
	filesName  = "files.json" // in both: a list of Files
	hidden     = "/.cr/"
	perlXS     = "perl-xs"
	loaderName = "ld.so"
)

// Lookup finds the program for a path in the target root. Where /bin is a link
// to /usr/bin in one root and not in the other, both names mean the same; so do
// /usr/lib/<triplet> of either CPU.
func (r *Root) Lookup(targetPath string) (Tool, bool) {
	t, ok := r.Index.lookup(targetPath)
	return t, ok && t.Unavailable == ""
}

// Missing says why Lookup finds nothing.
func (r *Root) Missing(targetPath string) string {
	switch t, ok := r.Index.lookup(targetPath); {
	case ok:
		return t.Unavailable
	default:
		for _, s := range r.Index.Skipped {
			if s.Source == targetPath {
				return s.Reason
			}
		}
		return "not in the tool root"
	}
}

func (x *Index) lookup(name string) (Tool, bool) {
	for _, n := range spellings(x.hostTriplet(name)) {
		if i, ok := x.names[n]; ok {
			return x.Tools[i], true
		}
	}
	return Tool{}, false
}

// hostTriplet replaces another CPU's triplet in /usr/lib/<triplet>/….
func (x *Index) hostTriplet(name string) string {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(name, "/usr"), "/lib/")
	triplet, rest, below := strings.Cut(rest, "/")
	if !ok || !below || !strings.Contains(triplet, "-linux-") {
		return name
	}
	return x.LibDir + "/" + rest
}

// spellings are the paths that a program has in roots of other shapes.
func spellings(name string) []string {
	list := []string{name}
	bare := strings.TrimPrefix(name, "/usr")
	switch {
	case strings.HasPrefix(bare, "/bin/"):
		list = append(list, bare, "/usr"+bare, "/usr/s"+bare[1:], "/s"+bare[1:])
	case strings.HasPrefix(bare, "/sbin/"):
		list = append(list, bare, "/usr"+bare, "/usr/"+bare[2:], "/"+bare[2:])
	case strings.HasPrefix(bare, "/lib/"):
		list = append(list, bare, "/usr"+bare)
	}
	return list
}

func (x *Index) fill() {
	x.names = make(map[string]int, 2*len(x.Tools))
	for i, t := range x.Tools {
		for _, n := range t.Names {
			if _, taken := x.names[n]; !taken {
				x.names[n] = i
			}
		}
	}
	for i, t := range x.Tools {
		x.names[t.Source] = i
	}
}

// ReadIndex joins the indexes of a tool root's two directories.
func ReadIndex(base, variant string) (*Index, error) {
	x := &Index{}
	if err := readJSON(filepath.Join(base, indexName), x); err != nil {
		return nil, err
	}
	if x.Format != format {
		return nil, fmt.Errorf("read index: format %d, not %d", x.Format, format)
	}
	var own []Tool
	if err := readJSON(filepath.Join(variant, indexName), &own); err != nil {
		return nil, err
	}
	x.Tools = append(x.Tools, own...)
	x.fill()
	return x, nil
}

// Files are all files of the tool root, with what was rewritten in them. It
// also fills in the Rewrites of Index.Tools.
func (r *Root) Files() ([]File, error) {
	var all []File
	for _, dir := range []string{r.Base, r.Variant} {
		var list []File
		if err := readJSON(filepath.Join(dir, filesName), &list); err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	changes := make(map[string][]relocate.Change, len(all))
	for _, f := range all {
		changes[hidden+f.Path] = f.Rewrites
	}
	for i := range r.Index.Tools {
		r.Index.Tools[i].Rewrites = changes[r.Index.Tools[i].Path]
	}
	return all, nil
}

func readJSON(name string, into any) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read index %s: %w", name, err)
	}
	return nil
}
