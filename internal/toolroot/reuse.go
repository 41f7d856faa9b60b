package toolroot

import (
	"fmt"
	"os"
	"path/filepath"
)

// reusable are the files of another tool root's base: those made from the very same files in the same way become hard
// links instead of being made again.
type reusable struct {
	base    string
	files   map[string]File     // by Path
	applets map[string][]string // by Tool.Path
}

// newReusable reads what a tool root has; nothing that can't be read is reused.
func newReusable(r *Root, libDir string) *reusable {
	if r == nil || r.Index.LibDir != libDir {
		return nil
	}
	var list []File
	if readJSON(filepath.Join(r.Base, filesName), &list) != nil {
		return nil
	}
	u := &reusable{r.Base, make(map[string]File, len(list)), map[string][]string{}}
	for _, f := range list {
		u.files[f.Path] = f
	}
	for _, t := range r.Index.Tools {
		u.applets[t.Path] = t.Applets
	}
	return u
}

// link makes an item out of the other tool root's; ok is false if it has to be made anew.
func (u *reusable) link(dir string, it *item) (out output, ok bool) {
	if u == nil || it.link != "" || it.content != nil || it.identity != "" {
		return out, false
	}
	f := u.files[it.dest]
	if f.Made == "" || f.Made != it.made() {
		return out, false
	}
	from := filepath.Join(u.base, it.dest)
	if st, err := os.Lstat(from); err != nil || !st.Mode().IsRegular() || st.Size() != f.Size {
		return out, false
	}
	if os.Link(from, filepath.Join(dir, it.dest)) != nil {
		return out, false
	}
	return output{changes: f.Rewrites, applets: u.applets[hidden+it.dest]}, true
}

// made says what a file was made from, and how.
func (it *item) made() string {
	if it.link != "" {
		return ""
	}
	return fmt.Sprintf("%s %v %v %d", line("f", it.real, it.info), it.elf, it.program, it.kind)
}
