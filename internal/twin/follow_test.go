package twin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/arch"
	. "github.com/crossroot/crossroot/internal/debian/archive/debmake"
	"github.com/crossroot/crossroot/internal/debian/repo"
	"github.com/crossroot/crossroot/internal/twin/state"
)

// follower makes one for the lab's root.
func (l *lab) follower(o Options) *Follower {
	l.T.Helper()
	root, err := os.Open(l.root)
	if err != nil {
		l.T.Fatal(err)
	}
	l.T.Cleanup(func() { root.Close() })
	o.Cache, o.Repository = l.cache, l.store.open
	o.Target, _ = arch.Lookup("armhf")
	o.Host, _ = arch.Lookup("amd64")
	return Follow(root, o)
}

// changed is a state with packages NAME=VERSION.
func changed(packages ...string) state.State {
	var b strings.Builder
	for _, p := range packages {
		name, version, _ := strings.Cut(p, "=")
		fmt.Fprintf(&b, "Package: %s\nStatus: install ok unpacked\nArchitecture: armhf\nVersion: %s\n\n", name, version)
	}
	return state.State{Status: []byte(b.String()), Merged: []string{"bin", "lib"}}
}

func (l *lab) next(f *Follower, packages ...string) *Twin {
	l.T.Helper()
	t, err := f.Next(context.Background(), changed(packages...))
	if err != nil {
		l.T.Fatal(err)
	}
	l.T.Cleanup(func() { t.Close() })
	return t
}

func (l *lab) abc() {
	for _, p := range []string{"a", "b", "c"} {
		for _, v := range []string{"1", "2"} {
			l.add(p, v, "utils", Member{Name: "./usr/bin/" + p, Content: p + v})
		}
	}
	l.install("a=1", "b=1")
}

func TestFollower(t *testing.T) {
	l := newLab(t)
	l.abc()
	f := l.follower(Options{})
	start, err := f.Start(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer start.Close()
	installed := l.next(f, "a=1", "b=1", "c=1")
	if installed.Packages != 3 || installed.Unpacked != 1 || l.opened != 1 || list(t, installed.Dir)["usr/bin/c"] != "c1" {
		t.Errorf("%+v, opened %d times", installed, l.opened)
	}
	upgraded := l.next(f, "a=1", "b=2", "c=1")
	if got := list(t, upgraded.Dir); got["usr/bin/b"] != "b2" || upgraded.Unpacked != 1 || l.opened != 1 {
		t.Errorf("%v, opened %d times", got, l.opened)
	}
	if list(t, start.Dir)["usr/bin/b"] != "b1" {
		t.Error("the twin of the start changed")
	}
	// The run was discarded: nothing is asked again, neither at the next start nor in the next run.
	f = l.follower(Options{})
	again, err := f.Start(context.Background(), false)
	if err != nil || again.Key != start.Key || again.Built {
		t.Fatalf("%+v %v", again, err)
	}
	defer again.Close()
	if same := l.next(f, "a=1", "b=2", "c=1"); same.Key != upgraded.Key || same.Built || l.opened != 1 {
		t.Errorf("%+v, opened %d times", same, l.opened)
	}
	// It was kept: what the run made is the start.
	l.install("a=1", "b=2", "c=1")
	if kept := l.twin(Options{}); kept.Key != upgraded.Key || l.opened != 1 {
		t.Errorf("%+v, opened %d times", kept, l.opened)
	}
}

// What can't be had is tried once; what is in the cache is used.
func TestFollowerWithoutRepository(t *testing.T) {
	l := newLab(t)
	l.abc()
	f := l.follower(Options{})
	start, err := f.Start(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer start.Close()
	l.store.away = &repo.Error{Kind: repo.Unreachable, Err: errors.New("the network is down")}
	f = l.follower(Options{})
	for _, packages := range [][]string{{"a=1", "b=1", "c=1"}, {"a=1", "b=2", "c=1"}} {
		twin := l.next(f, packages...)
		if twin.Failure == nil || !strings.Contains(twin.Failure.Text, "the network is down") || l.opened != 2 {
			t.Errorf("%v: failure %v, opened %d times", packages, twin.Failure, l.opened)
		}
		if got := list(t, twin.Dir); got["usr/bin/a"] != "a1" || got["usr/bin/c"] != "" {
			t.Errorf("%v: %v", packages, got)
		}
	}
}

// That a run was to do without the repository is no reason for the next one to.
func TestFollowerOffline(t *testing.T) {
	l := newLab(t)
	l.abc()
	l.twin(Options{})
	l.store.away = &repo.Error{Kind: repo.NotCached, Err: errors.New("not in the cache")}
	offline := l.next(l.follower(Options{Config: repo.Config{Offline: true}}), "a=1", "b=1", "c=1")
	if offline.Failure == nil || offline.Packages != 2 {
		t.Errorf("%+v", offline)
	}
	l.store.away = nil
	if online := l.next(l.follower(Options{}), "a=1", "b=1", "c=1"); online.Failure != nil || online.Packages != 3 {
		t.Errorf("%+v", online)
	}
}

// A script writes what it likes into the database.
func TestFollowerHostile(t *testing.T) {
	l := newLab(t)
	l.abc()
	l.packages["huge"] = []repo.Package{l.packages["a"][0]}
	l.packages["huge"][0].Name, l.packages["huge"][0].Size, l.packages["huge"][0].SHA256 = "huge", MostBytes+1, strings.Repeat("0", 64)
	many := make([]string, MostPackages+1)
	for i := range many {
		many[i] = fmt.Sprintf("p%d=1", i)
	}
	f := l.follower(Options{})
	for name, s := range map[string]state.State{
		"too large": changed("a=1", "huge=1"),
		"too many":  changed(many...),
	} {
		if _, err := f.Next(context.Background(), s); !errors.Is(err, ErrTooMuch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"Package: ../x\nStatus: install ok installed\nArchitecture: armhf\nVersion: 1\n", "\x00", "Package: a\n"} {
		s := changed("a=1")
		s.Updates = [][]byte{[]byte(text)}
		if twin, err := f.Next(context.Background(), s); err == nil && !cmp.Equal(twin.Packages, 1) {
			t.Errorf("%q: %+v", text, twin)
		}
	}
	if slices.Contains(l.fetched, "huge") {
		t.Error("fetched what is too large")
	}
}
