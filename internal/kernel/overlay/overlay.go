// Package overlay knows how a run mounts ROOT under its changes. It promises that every option that matters is
// explicit, whatever the kernel was built or booted with; it knows nothing of what lies in the layers.
package overlay

import "github.com/crossroot/crossroot/internal/kernel/mount"

// Options are those of an overlay in a user namespace (Linux 5.11; attributes in user.overlay.*). The paths must be
// free of ':', ',' and '\'. volatile leaves out syncs: for an upper that is thrown away after a crash.
func Options(lower, upper, work string, volatile bool) []mount.Option {
	options := []mount.Option{
		{Key: "lowerdir", Value: lower}, {Key: "upperdir", Value: upper}, {Key: "workdir", Value: work},
		{Key: "userxattr"}, {Key: "redirect_dir", Value: "nofollow"}, {Key: "metacopy", Value: "off"},
		{Key: "index", Value: "off"}, {Key: "nfs_export", Value: "off"}, {Key: "xino", Value: "off"},
	}
	if volatile {
		options = append(options, mount.Option{Key: "volatile"})
	}
	return options
}
