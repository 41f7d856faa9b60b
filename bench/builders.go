package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/crossroot/crossroot/test/roots"
)

const (
	minbaseGroup = "wrap minbase"
	aptGroup     = "wrap apt"
	buildahGroup = "wrap buildah"
)

// aptSet is what is installed on top of a root with apt, by a builder.
const aptSet = "python3,systemd,openssh-server,locales,tzdata,dbus,cron,vim-tiny,ca-certificates"

// wrapping is how a builder runs.
type wrapping int

const (
	wrapped  wrapping = iota
	emulates          // by the kernel's handler
	plainly           // for this machine's CPU
)

// builderJobs run builders as distributions ship them. Each group has one that makes the same for this machine's CPU.
func builderJobs() []job {
	none := place{none: true}
	var all []job
	add := func(group string, run func(wrapping) func(context.Context, *env, string) error) {
		all = append(all,
			job{group: group, name: "crossroot wrap", root: none, extra: true, run: run(wrapped)},
			job{group: group, name: "same CPU", root: none, extra: true, run: run(plainly)},
			job{group: group, name: "qemu-user", root: none, extra: true, once: true, run: run(emulates)})
	}
	add(minbaseGroup, func(w wrapping) func(context.Context, *env, string) error {
		return func(ctx context.Context, e *env, _ string) error {
			return e.mmdebstrap(ctx, w, minbaseGroup, "--variant=minbase")
		}
	})
	add(aptGroup, func(w wrapping) func(context.Context, *env, string) error {
		return func(ctx context.Context, e *env, _ string) error {
			return e.mmdebstrap(ctx, w, "", "--variant=apt", "--include="+aptSet)
		}
	})
	add(buildahGroup, func(w wrapping) func(context.Context, *env, string) error {
		return func(ctx context.Context, e *env, _ string) error { return e.buildah(ctx, w) }
	})
	return all
}

// builder runs a builder in one of the ways.
func (e *env) builder(ctx context.Context, w wrapping, args ...string) error {
	switch w {
	case wrapped:
		return e.crossroot(ctx, append([]string{"wrap", "--tools", "auto", "--"}, args...)...)
	case emulates:
		return roots.Emulated(ctx, e.foreign.Arch, nil, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", args[0], err, out)
	}
	return nil
}

// mmdebstrap makes a root as a tar. Those of a group must be the same, whichever way they were made.
func (e *env) mmdebstrap(ctx context.Context, w wrapping, group string, options ...string) error {
	out := e.scratch("builder.tar")
	a := e.foreign.Arch.Name
	if w == plainly {
		a = e.native.Arch.Name
	}
	args, err := roots.Mmdebstrap(ctx, a, out, options...)
	if err != nil {
		return err
	}
	if err := e.builder(ctx, w, args...); err != nil {
		return err
	}
	if group == "" || w == plainly {
		return nil
	}
	sum, err := digest(out)
	if err != nil {
		return err
	}
	return e.same(group, sum)
}

func digest(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// same compares what a job made with what others of its group made.
func (e *env) same(group, made string) error {
	if before, ok := e.made[group]; ok && before != made {
		return fmt.Errorf("%s: made %s, another way %s", group, made, before)
	}
	e.made[group] = made
	return nil
}

// containerfile has the kinds of steps that images are made of.
const containerfile = `FROM scratch
ADD base.tar /
RUN useradd -m -s /bin/sh builder && groupadd -r svc && id builder
RUN i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done
RUN perl -e 'print "from perl\n"' >/etc/made-by-perl && dpkg-query -W >/etc/packages
`

// platforms are architectures as images call them.
var platforms = map[string]string{"armhf": "linux/arm/v7", "arm64": "linux/arm64", "amd64": "linux/amd64"}

// buildah builds an image on a root made before. Its id, with fixed times, is a digest of its contents.
func (e *env) buildah(ctx context.Context, w wrapping) error {
	a := e.foreign.Arch.Name
	if w == plainly {
		a = e.native.Arch.Name
	}
	dir := e.scratch("image-" + a)
	if err := e.base(ctx, dir, a); err != nil {
		return err
	}
	store := e.scratch("store")
	err := e.builder(ctx, w, "buildah", "--root", store+"/s", "--runroot", store+"/r", "--storage-driver", "vfs", "bud", "--quiet", "--no-cache",
		"--isolation", "chroot", "--network", "host", "--timestamp", "1700000000", "--platform", platforms[a], "--iidfile", dir+"/id", dir)
	if err != nil {
		return err
	}
	if err := roots.Remove(store); err != nil || w == plainly {
		return err
	}
	id, err := os.ReadFile(dir + "/id")
	if err != nil {
		return err
	}
	return e.same(buildahGroup, string(id))
}

// base makes the directory from which an image is built, once.
func (e *env) base(ctx context.Context, dir, a string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	args, err := roots.Mmdebstrap(ctx, a, filepath.Join(dir, "base.tar"), "--variant=minbase")
	if err != nil {
		return err
	}
	if err := e.crossroot(ctx, append([]string{"wrap", "--"}, args...)...); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "Containerfile"), []byte(containerfile), 0o644)
}
