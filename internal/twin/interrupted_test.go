package twin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossroot/crossroot/internal/arch"
	. "github.com/crossroot/crossroot/internal/debian/archive/debmake"
	"github.com/crossroot/crossroot/internal/debian/repo"
)

// many fills the store and the root with packages.
func (l *lab) many(n int) {
	var packages []string
	for i := range n {
		name := fmt.Sprintf("p%d", i)
		l.add(name, "1", "utils", Member{Name: "./usr/bin/" + name, Content: name}, Member{Name: "./usr/lib/" + name, Kind: '2', Link: "x"})
		packages = append(packages, name+"=1")
	}
	l.install(packages...)
}

// A builder that is stopped at any point leaves nothing that the next one could stumble over.
func TestStoppedAnywhere(t *testing.T) {
	l := newLab(t)
	l.many(6)
	want := list(t, l.twin(Options{}).Dir)
	whole := false
	for after := 0; !whole; after++ {
		l.cache = filepath.Join(t.TempDir(), "cache")
		if after > 100 {
			t.Fatal("never finished")
		}
		whole = l.stopped(after)
		again, err := l.try(Options{})
		if err != nil {
			t.Fatalf("after being stopped at step %d: %v", after, err)
		}
		if d := cmp.Diff(want, list(t, again.Dir)); d != "" {
			t.Fatalf("after being stopped at step %d:\n%s", after, d)
		}
	}
}

// stopped builds until so many steps were reported and says whether the twin was made all the same.
func (l *lab) stopped(after int) bool {
	root, err := os.Open(l.root)
	if err != nil {
		l.T.Fatal(err)
	}
	defer root.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	steps := 0
	o := Options{Cache: l.cache, Repository: l.store.open, Progress: func(int, int, string) {
		if steps++; steps > after {
			cancel()
		}
	}}
	o.Target, _ = arch.Lookup("armhf")
	o.Host, _ = arch.Lookup("amd64")
	twin, err := Open(ctx, root, o)
	if err == nil {
		twin.Close()
		return steps <= after
	}
	if !errors.Is(err, context.Canceled) {
		l.T.Fatalf("stopped after %d steps: %v", after, err)
	}
	if left, _ := filepath.Glob(l.cache + "/twins/tmp-*"); len(left) > 0 {
		l.T.Errorf("stopped after %d steps, it left %v", after, left)
	}
	return false
}

// Of several builders one builds; all have the same twin.
func TestBuildersAtOnce(t *testing.T) {
	l := newLab(t)
	l.many(6)
	var wait sync.WaitGroup
	var mutex sync.Mutex
	built := 0
	keys := map[string]bool{}
	for range 6 {
		wait.Go(func() {
			root, err := os.Open(l.root)
			if err != nil {
				t.Error(err)
				return
			}
			defer root.Close()
			o := Options{Cache: l.cache, Repository: func(ctx context.Context) (Repository, string, error) {
				mutex.Lock()
				defer mutex.Unlock()
				return l.store.open(ctx)
			}}
			o.Target, _ = arch.Lookup("armhf")
			o.Host, _ = arch.Lookup("amd64")
			twin, err := Open(context.Background(), root, o)
			if err != nil {
				t.Error(err)
				return
			}
			defer twin.Close()
			mutex.Lock()
			defer mutex.Unlock()
			if keys[twin.Key] = true; twin.Built {
				built++
			}
		})
	}
	wait.Wait()
	if built != 1 || len(keys) != 1 || l.opened != 1 {
		t.Errorf("%d built, %d twins, the repository was opened %d times", built, len(keys), l.opened)
	}
}

// A limit on the size of files stands in for a full disk: both end a write. (SIGXFSZ is Go's to ignore.)
func TestDiskFull(t *testing.T) {
	l := newLab(t)
	l.add("p", "1", "utils", Member{Name: "./usr/bin/p", Content: string(make([]byte, 16<<20))})
	l.install("p=1")
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 8 << 20, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := l.try(Options{})
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	var named *os.PathError
	if !errors.Is(err, syscall.EFBIG) || !errors.As(err, &named) || filepath.Base(named.Path) != "p" {
		t.Errorf("full disk: %v", err)
	}
	if left, _ := filepath.Glob(l.cache + "/twins/tmp-*"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if twin := l.twin(Options{}); twin.Packages != 1 {
		t.Errorf("%+v", twin)
	}
}

// A lenient builder goes on with what there is, and doesn't ask at every run.
func TestLenient(t *testing.T) {
	l := newLab(t)
	l.many(2)
	away := &repo.Error{Kind: repo.Unreachable, Err: errors.New("the network is down")}
	l.store.away = away
	for range 2 {
		if _, err := l.try(Options{Lenient: true}); err == nil || !strings.Contains(err.Error(), "the network is down") {
			t.Errorf("nothing in the cache: %v", err)
		}
	}
	if l.opened != 1 {
		t.Errorf("opened %d times", l.opened)
	}
	if _, err := l.try(Options{}); !errors.Is(err, away) || l.opened != 2 {
		t.Errorf("not lenient: %v, opened %d times", err, l.opened)
	}
	l.store.away = nil
	if twin := l.twin(Options{}); twin.Packages != 2 {
		t.Errorf("%+v", twin)
	}
	l.store.away = away
	l.many(3)
	for range 2 {
		twin := l.twin(Options{Lenient: true})
		if twin.Packages != 2 || !cmp.Equal(twin.Differences, []Difference{{"p2", "1", ""}}) || l.opened != 4 {
			t.Errorf("two of three packages: %+v, opened %d times", twin, l.opened)
		}
	}
	l.store.away = nil
	l.many(3)
	if twin := l.twin(Options{}); twin.Packages != 3 || len(twin.Differences) != 0 || l.opened != 5 {
		t.Errorf("%+v, opened %d times", twin, l.opened)
	}
	if l.twin(Options{Lenient: true}); l.opened != 5 {
		t.Errorf("opened %d times", l.opened)
	}
}
