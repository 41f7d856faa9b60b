package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/crossroot/crossroot/test/roots"
)

// packageSet is what the job "packages" installs: programs of every kind that packages bring, with a package's script
// for each kind of thing that scripts do.
var packageSet = strings.Fields(`python3 perl systemd systemd-sysv openssh-server nginx-light postgresql ca-certificates
	locales tzdata cron rsyslog dbus udev initramfs-tools gcc git vim-tiny exim4-daemon-light apache2 php-cli ruby fontconfig
	libgtk-3-0 libgdk-pixbuf2.0-bin shared-mime-info libglib2.0-bin default-jre-headless`)

// installSet installs it from the archives that the root has.
var installSet = append([]string{"/usr/bin/env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-y", "-o",
	"Dpkg::Use-Pty=0", "install", "--no-install-recommends", "--no-download"}, packageSet...)

// packages returns the finished root with the archives of the set.
func (e *env) packages(ctx context.Context, native bool) (roots.Stage, error) {
	if s, ok := e.sets[native]; ok {
		return s, nil
	}
	s, err := e.cache.WithArchives(ctx, e.references[native], packageSet...)
	e.sets[native] = s
	return s, err
}

// renew puts a fresh copy in the place of a root.
func (e *env) renew(ctx context.Context, p place, root string) error {
	stage := e.foreign
	if p.set {
		stage = e.sets[p.native]
	}
	if err := roots.Remove(root); err != nil {
		return err
	}
	return stage.Unpack(ctx, root)
}

// finishedTwin runs a command with the twin of the finished root: during a bootstrap the root's own database is empty.
func finishedTwin(command []string, flags ...string) func(context.Context, *env, string) error {
	return func(ctx context.Context, e *env, root string) error {
		if e.twin == "" {
			finished, err := e.finished(ctx, place{})
			if err != nil {
				return err
			}
			out, err := exec.CommandContext(ctx, e.binary, "tools", "twin", "--json", finished).Output()
			if err != nil {
				return fmt.Errorf("crossroot tools twin: %w", err)
			}
			var twin struct{ Dir string }
			if err := json.Unmarshal(out, &twin); err != nil {
				return fmt.Errorf("crossroot tools twin: %w", err)
			}
			e.twin = twin.Dir
		}
		return crossroot(command, append(flags, "--tools", e.twin)...)(ctx, e, root)
	}
}

// twin builds a twin from packages that were downloaded before, in a cache that is made for it.
func twin(ctx context.Context, e *env, root string) error {
	cache := e.scratch("cache")
	if err := os.RemoveAll(cache + "/crossroot/twins"); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, e.binary, "tools", "twin", root)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("crossroot tools twin: %w\n%s", err, out)
	}
	return nil
}
