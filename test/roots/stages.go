package roots

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// recipe is part of every cache key: raise it when roots are made in another way.
const recipe = "1"

// First returns the first stage of a Debian root: packages downloaded, the essential ones extracted, none configured
// (`debootstrap --foreign --variant=minbase`), of the release and from the mirror that the machine's apt is set to. The
// packages to include are added to the minimal ones, with what they depend on.
func (c Cache) First(ctx context.Context, arch string, include ...string) (Stage, error) {
	a, err := Lookup(arch)
	if err != nil {
		return Stage{}, err
	}
	src, err := readSource(ctx)
	if err != nil {
		return Stage{}, err
	}
	version, err := exec.CommandContext(ctx, "debootstrap", "--version").Output()
	if err != nil {
		return Stage{}, fmt.Errorf("find debootstrap: %w", err)
	}
	name := fmt.Sprintf("%s-%s-first-%s", src.suite, arch, digest([]byte(recipe), version))
	if len(include) > 0 {
		name += "-" + digest([]byte(strings.Join(include, " ")))
	}
	return c.get(ctx, a, name, func(root string) error {
		args := []string{"debootstrap", "--foreign", "--variant=minbase", "--arch=" + arch}
		if len(include) > 0 {
			args = append(args, "--include="+strings.Join(include, ","))
		}
		if src.keyring != "" {
			args = append(args, "--keyring="+src.keyring)
		}
		if os.Getuid() != 0 {
			// debootstrap insists on mknod unless it takes the user namespace for a container of this name.
			args = append([]string{"env", "container=lxc"}, args...)
		}
		return Within(ctx, nil, append(args, src.suite, root, src.mirror)...)
	})
}

// WithArchives returns a finished root that has the archives of further packages, with what they depend on, so that they
// are installed without a network. The machine's own apt fetches them from the root's sources.
func (c Cache) WithArchives(ctx context.Context, finished Stage, packages ...string) (Stage, error) {
	name := fmt.Sprintf("%s-archives-%s", finished.Arch.Name, digest([]byte(recipe+finished.Key), []byte(strings.Join(packages, " "))))
	return c.get(ctx, finished.Arch, name, func(root string) error {
		if err := os.Remove(root); err != nil {
			return err
		}
		if err := finished.Unpack(ctx, root); err != nil {
			return err
		}
		apt := []string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-o", "Dir=" + root, "-o", "APT::Architecture=" + finished.Arch.Name,
			"-o", "APT::Architectures::=" + finished.Arch.Name, "-o", "Dir::State::status=" + root + "/var/lib/dpkg/status",
			"-o", "APT::Sandbox::User=root"}
		if err := Within(ctx, io.Discard, append(slices.Clone(apt), "update")...); err != nil {
			return err
		}
		return Within(ctx, io.Discard, append(append(apt, "install", "--no-install-recommends", "--download-only"), packages...)...)
	})
}

// SecondStage is the command that finishes a root, run inside it.
var SecondStage = []string{"/debootstrap/debootstrap", "--second-stage"}

// Reference returns the root after the second stage in a plain chroot, under qemu-user where the CPU is foreign. It
// takes a minute, once for each first stage and emulator.
func (c Cache) Reference(ctx context.Context, first Stage) (Stage, error) {
	key := []byte(recipe + first.Key)
	for _, e := range first.Manifest.Entries {
		key = append(key, e.Path+e.Hash...)
	}
	if first.Arch.Qemu != "" {
		version, err := exec.CommandContext(ctx, first.Arch.Qemu, "--version").Output()
		if err != nil {
			return Stage{}, fmt.Errorf("find emulator: %w", err)
		}
		key = append(key, version...)
	}
	name := fmt.Sprintf("%s-reference-%s", first.Arch.Name, digest(key))
	return c.get(ctx, first.Arch, name, func(root string) error {
		if err := os.Remove(root); err != nil {
			return err
		}
		if err := first.Unpack(ctx, root); err != nil {
			return err
		}
		return Chroot{Root: root, Arch: first.Arch}.Run(ctx, io.Discard, SecondStage...)
	})
}

func digest(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
