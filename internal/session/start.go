package session

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/crossroot/crossroot/internal/kernel/fdsock"
	"github.com/crossroot/crossroot/internal/kernel/userns"
	"github.com/crossroot/crossroot/internal/protocol"
)

// errNoIDMap: the file system of ROOT has no idmapped mounts.
var errNoIDMap = errors.New("no idmapped mounts")

// startWorker starts the worker, maps its ids and sends it what it needs. Real root whose ROOT lies on a file system
// without idmapped mounts is started again with the identity map.
func (r *run) startWorker(ctx context.Context) error {
	ids, err := idMap(false)
	if err != nil {
		return err
	}
	err = r.launch(ids)
	if errors.Is(err, errNoIDMap) {
		r.warn(fmt.Sprintf("the file system of %s has no idmapped mounts: root inside is root outside (less protection)", r.root.Name))
		if ids, err = idMap(true); err == nil {
			err = r.launch(ids)
		}
	}
	return err
}

// idMap decides the ids of the run.
func idMap(identity bool) (userns.Map, error) {
	caller := userns.ReadCaller()
	m, err := caller.Map(identity)
	if err != nil {
		if errors.Is(err, userns.ErrFewIDs) {
			return m, fail(KindContainer, "", err)
		}
		return m, fail(KindSubIDs, caller.Name, err)
	}
	return m, nil
}

// launch starts one worker.
func (r *run) launch(ids userns.Map) (err error) {
	conn, theirs, err := fdsock.Pair()
	if err != nil {
		return err
	}
	process, err := spawn(theirs, r.o.NetHost)
	theirs.Close()
	if err != nil {
		conn.Close()
		return err
	}
	defer func() {
		if err != nil {
			_ = process.Kill()
			_, _ = process.Wait()
			conn.Close()
		}
	}()
	if err := ids.Write(process.Pid); err != nil {
		if errors.Is(err, userns.ErrNoHelper) {
			return fail(KindSubIDs, "", err)
		}
		return fail(KindUserns, "", err)
	}
	if err := r.checkOwner(ids); err != nil {
		return err
	}
	if err := r.collectTrees(process.Pid, ids); err != nil {
		return err
	}
	if !ids.Helper {
		r.stdio.giveTo(ids.UIDs[0].Outside, ids.GIDs[0].Outside)
	}
	s := &r.setup
	s.UIDs, s.GIDs = ranges(ids.UIDs), ranges(ids.GIDs)
	s.MakesNodes = userns.ReadCaller().Initial() && userns.Has(unix.CAP_MKNOD)
	files := append(r.stdio.passed[:len(r.stdio.passed):len(r.stdio.passed)], r.trees...)
	if err := conn.Send(s, files...); err != nil {
		return err
	}
	r.closeTrees()
	r.stdio.handedOver()
	r.conn, r.worker = conn, process
	return nil
}

func ranges(in []userns.Range) []protocol.Range {
	var out []protocol.Range
	for _, r := range in {
		out = append(out, protocol.Range(r))
	}
	return out
}

// spawn starts the worker, which has no ids yet.
func spawn(conn *os.File, netHost bool) (*os.Process, error) {
	flags := uintptr(userns.Namespaces)
	if !netHost {
		flags |= unix.CLONE_NEWNET
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	process, err := userns.Spawn(protocol.WorkerName, []string{"GODEBUG=" + os.Getenv("CROSSROOT_GODEBUG")}, flags, null, null, os.Stderr, conn)
	if err != nil {
		return nil, fail(KindUserns, "", fmt.Errorf("make namespaces: %w", err))
	}
	return process, nil
}

// checkOwner refuses a ROOT whose top directory belongs to ids that the run doesn't have.
func (r *run) checkOwner(ids userns.Map) error {
	if !ids.Helper {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(r.root.Dir.Fd()), &st); err != nil {
		return fail(KindRoot, r.root.Name, err)
	}
	if _, ok := userns.Inside(ids.UIDs, int(st.Uid)); !ok {
		return fail(KindOwner, r.root.Name, fmt.Errorf("%s belongs to user %d, who is neither you nor in your subordinate range", r.root.Name, st.Uid))
	}
	if _, ok := userns.Inside(ids.GIDs, int(st.Gid)); !ok {
		return fail(KindOwner, r.root.Name, fmt.Errorf("%s belongs to group %d, which is not in your subordinate range", r.root.Name, st.Gid))
	}
	return nil
}
