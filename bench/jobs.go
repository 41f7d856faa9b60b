package main

import (
	"context"
	"time"

	"github.com/crossroot/crossroot/test/roots"
)

// job is one line of the table.
type job struct {
	group, name string
	root        place         // the root that it gets: foreign or of this CPU, fresh for each round or shared
	repeat      int           // measurements in a round; 0 is 1
	once        bool          // slow and not the point: one round
	extra       bool          // takes long: only when it is asked for
	rehearse    bool          // runs once unmeasured, on a root of its own: what it downloads is there then
	limit       time.Duration // given up after this long; 0 is ten minutes
	run         func(ctx context.Context, e *env, root string) error
}

// place is where a job's root comes from and lies.
type place struct {
	native bool // amd64 instead of the foreign architecture
	set    bool // finished, with the archives of a set of packages, instead of the first stage
	memory bool // in a tmpfs instead of on the disk
	none   bool // no root: the job makes one
	fresh  bool // a new copy of the first stage for each round; otherwise the finished root, never changed
}

const (
	stageGroup = "second stage"
	loopGroup  = "2000 x true"
	warmGroup  = "warm start"
	setGroup   = "packages"
	twinGroup  = "twin"
)

// loop starts 2,000 processes from a shell that has /bin/true no other way than by execve.
var loop = []string{"/bin/sh", "-c", "i=0; while [ $i -lt 2000 ]; do /bin/true; i=$((i+1)); done"}

func jobs() []job {
	foreign, native := place{fresh: true}, place{native: true, fresh: true}
	ready, readyNative := place{}, place{native: true}
	set, setNative := place{set: true, fresh: true}, place{set: true, native: true, fresh: true}
	return append([]job{
		{group: stageGroup, name: "crossroot", root: foreign, run: crossroot(roots.SecondStage, "--keep", "success")},
		{group: stageGroup, name: "crossroot, spool on disk", root: foreign,
			run: crossroot(roots.SecondStage, "--keep", "success", "--spool", "disk")},
		{group: stageGroup, name: "crossroot, twin", root: foreign, run: finishedTwin(roots.SecondStage)},
		{group: stageGroup, name: "native chroot, disk", root: native, run: plain(roots.SecondStage)},
		{group: stageGroup, name: "native chroot, tmpfs", root: place{native: true, fresh: true, memory: true},
			run: plain(roots.SecondStage)},
		{group: stageGroup, name: "qemu-user chroot", root: foreign, run: emulated(roots.SecondStage)},
		{group: stageGroup, name: "proot -q", root: foreign, once: true, run: proot(roots.SecondStage)},

		{group: loopGroup, name: "native chroot", root: readyNative, run: plain(loop)},
		{group: loopGroup, name: "crossroot", root: ready, run: crossroot(loop, "--keep", "never")},
		{group: loopGroup, name: "crossroot, twin", root: ready, run: finishedTwin(loop, "--keep", "never")},
		{group: loopGroup, name: "qemu-user chroot", root: ready, run: emulated(loop)},
		{group: loopGroup, name: "proot -q", root: ready, once: true, run: proot(loop)},

		{group: warmGroup, name: "crossroot run ROOT true", root: ready, repeat: 10,
			run: crossroot([]string{"/bin/true"}, "--keep", "never")},
		{group: warmGroup, name: "native chroot true", root: readyNative, repeat: 10, run: plain([]string{"/bin/true"})},
		{group: warmGroup, name: "qemu-user chroot true", root: ready, repeat: 10, run: emulated([]string{"/bin/true"})},

		{group: twinGroup, name: "crossroot tools twin, packages in the cache", root: ready, run: twin},

		{group: setGroup, name: "crossroot, twin", root: set, extra: true, rehearse: true, run: crossroot(installSet, "--tools", "twin")},
		{group: setGroup, name: "same CPU, crossroot's sandbox", root: setNative, extra: true, run: crossroot(installSet)},
		{group: setGroup, name: "native chroot, disk", root: setNative, extra: true, run: plain(installSet)},
		{group: setGroup, name: "native chroot, tmpfs", root: place{set: true, native: true, fresh: true, memory: true}, extra: true,
			run: plain(installSet)},
	}, builderJobs()...)
}

// crossroot runs the command under test and keeps what it reports about its own time.
func crossroot(command []string, flags ...string) func(context.Context, *env, string) error {
	return func(ctx context.Context, e *env, root string) error {
		report := e.scratch("report.json")
		args := append([]string{"run", "--report", report}, flags...)
		if err := e.crossroot(ctx, append(append(args, root, "--"), command...)...); err != nil {
			return err
		}
		return e.phases.read(report)
	}
}

// plain runs the command in a chroot without an emulator: with real root's own ids where we are real root.
func plain(command []string) func(context.Context, *env, string) error {
	return func(ctx context.Context, e *env, root string) error {
		return roots.Chroot{Root: root, Arch: e.native.Arch, Plain: e.root, Proc: true}.Run(ctx, nil, command...)
	}
}

func emulated(command []string) func(context.Context, *env, string) error {
	return func(ctx context.Context, e *env, root string) error {
		return roots.Chroot{Root: root, Arch: e.foreign.Arch}.Run(ctx, nil, command...)
	}
}

func proot(command []string) func(context.Context, *env, string) error {
	return func(ctx context.Context, e *env, root string) error {
		return roots.Chroot{Root: root, Arch: e.foreign.Arch, Proot: true}.Run(ctx, nil, command...)
	}
}
