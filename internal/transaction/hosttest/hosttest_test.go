// Package hosttest tests internal/transaction where the real root has a part in it: the target root is seen through an
// idmapped mount from a user namespace whose root is nobody outside. An ordinary user can't make such mounts; what it
// can is tested in internal/transaction itself.
package hosttest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/crossroot/crossroot/internal/transaction"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const role = "CROSSROOT_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "hold":
		os.Stdin.Read(make([]byte, 1)) // until the parent has opened the namespace
	case "work":
		if err := work(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// shifted starts this binary again in a user namespace whose id 0 is 100000.
func shifted(t *testing.T, as string, files ...*os.File) *exec.Cmd {
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), role+"="+as)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: ids, GidMappings: ids, Pdeathsig: syscall.SIGKILL,
		Credential: &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: true},
	}
	return cmd
}

// TestIDMapped: owners, set-id bits and capabilities arrive as on a plain root, though the committing process is
// nobody on the host.
func TestIDMapped(t *testing.T) {
	if os.Getuid() != 0 {
		return // an ordinary user has no idmapped mounts
	}
	root := t.TempDir()
	sh(t, root, "mkdir d; echo x >d/f; echo x >g; chown 33:34 g; touch -d @1000 g d .; echo x >gone; chmod 755 .")
	lower := idmapped(t, root)
	cmd := shifted(t, "work", lower)
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err := filepath.Walk(root, func(path string, fi os.FileInfo, err error) error {
		if err == nil && path != root {
			st := fi.Sys().(*syscall.Stat_t)
			got[strings.TrimPrefix(path, root)] = fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/d":      "40755 0:0",
		"/d/f":    "104755 0:0",
		"/g":      "102711 5:6",
		"/new":    "41777 7:8",
		"/new/l":  "120777 33:0",
		"/new/ca": "100755 0:0",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("on the host (-want +got):\n%s", d)
	}
	val := make([]byte, 64)
	n, err := syscall.Getxattr(root+"/new/ca", "security.capability", val)
	if err != nil || string(val[:n]) != capability {
		t.Errorf("capability %x, %v", val[:n], err)
	}
}

// capability is cap_net_raw+ep as every reader outside sees it: revision 2.
const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// idmapped is a view of dir in which the host's ids 0… are the namespace's 0….
func idmapped(t *testing.T, dir string) *os.File {
	hold := shifted(t, "hold")
	in, err := hold.StdinPipe()
	must(t, err)
	must(t, hold.Start())
	defer hold.Wait()
	defer in.Close()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", hold.Process.Pid))
	must(t, err)
	defer ns.Close()
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	must(t, err)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	must(t, unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr))
	tree := os.NewFile(uintptr(fd), dir)
	t.Cleanup(func() { tree.Close() })
	return tree
}

// work is the worker: a run over the root that descriptor 3 shows, and its commit.
func work() error {
	lower := os.NewFile(3, "root")
	if err := unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	for _, d := range []string{"/tmp/l", "/tmp/u", "/tmp/w", "/tmp/m"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := unix.MoveMount(3, "", unix.AT_FDCWD, "/tmp/l", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach the root: %w", err)
	}
	upper, err := os.Open("/tmp/u")
	if err != nil {
		return err
	}
	if err := transaction.Seed(upper, lower); err != nil {
		return err
	}
	started := transaction.Now()
	err = unix.Mount("overlay", "/tmp/m", "overlay", unix.MS_NOATIME,
		"lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w,userxattr,redirect_dir=nofollow,metacopy=off,index=off,xino=off,nfs_export=off")
	if err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	script := `test "$(stat -c %u:%g d/f g | tr '\n' ' ')" = "0:0 33:34 "
		echo y >d/f; chmod 4755 d/f; chown 5:6 g; chmod 2711 g; rm gone
		mkdir new; ln -s x new/l; chown -h 33 new/l; echo z >new/ca; chmod 755 new/ca; chown 7:8 new; chmod 1777 new`
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir, cmd.Stderr = "/tmp/m", os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("script: %w", err)
	}
	if err := unix.Setxattr("/tmp/m/new/ca", "security.capability", []byte(capability), 0); err != nil {
		return fmt.Errorf("set capability: %w", err)
	}
	if err := unix.Unmount("/tmp/m", 0); err != nil {
		return err
	}
	p, err := transaction.Inspect(context.Background(), upper, lower, transaction.Options{Started: started})
	if err != nil {
		return err
	}
	if w := p.Warnings(); len(w) > 0 {
		return fmt.Errorf("warnings: %q", w)
	}
	return p.Commit(context.Background())
}

// TestImmutable is A22: chattr +i is found before anything is changed.
func TestImmutable(t *testing.T) {
	if os.Getuid() != 0 {
		return // an ordinary user can't set the flag
	}
	base := t.TempDir()
	sh(t, base, "mkdir -p root/d up/d; echo x >root/f; echo x >root/d/f; echo y >up/f; echo y >up/d/g; touch -d @1000 root/f root")
	for _, name := range []string{"f", "d"} {
		for _, flag := range []int{unix.STATX_ATTR_IMMUTABLE, unix.STATX_ATTR_APPEND} { // the same bits as FS_IMMUTABLE_FL, FS_APPEND_FL
			lock(t, base+"/root/"+name, flag)
			_, err := transaction.Inspect(context.Background(), open(t, base+"/up"), open(t, base+"/root"), transaction.Options{})
			lock(t, base+"/root/"+name, 0)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf(`"/%s": in the target root`, name)) {
				t.Errorf("flag %#x on %s: %v", flag, name, err)
			}
		}
	}
}

func lock(t *testing.T, path string, flags int) {
	t.Helper()
	f := open(t, path)
	must(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags))
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func sh(t *testing.T, dir, line string) {
	t.Helper()
	cmd := exec.Command("sh", "-euc", line)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sh -c %q: %v\n%s", line, err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
