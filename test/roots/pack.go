package roots

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/crossroot/crossroot/internal/tree"
)

// pack writes a root as a tar whose bytes depend on the root alone.
func pack(ctx context.Context, root, tar string) error {
	f, err := os.Create(tar)
	if err != nil {
		return err
	}
	defer f.Close()
	err = Within(ctx, f, "tar", "--format=pax", "--pax-option=delete=atime,delete=ctime", "--sort=name",
		"--numeric-owner", "--xattrs", "--xattrs-include=*", "--one-file-system", "-C", root, "-cf", "-", ".")
	if err != nil {
		return err
	}
	return f.Close()
}

// Unpack makes a copy of the root in dir, which must not exist. A user gets it without the device nodes.
func (s Stage) Unpack(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	args := []string{"tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-p", "-C", dir, "-xf", s.Tar}
	if os.Getuid() != 0 {
		for _, e := range s.Manifest.Entries {
			if e.Type == tree.Char || e.Type == tree.Block {
				args = append(args, "--exclude=./"+e.Path)
			}
		}
	}
	if err := Within(ctx, nil, args...); err != nil {
		return fmt.Errorf("unpack %s: %w", s.Key, err)
	}
	return nil
}

// Remove deletes a root.
func Remove(dir string) error {
	return Within(context.Background(), nil, "rm", "-rf", "--one-file-system", "--", dir)
}

// ReadFile reads a file of a root, whoever owns it.
func ReadFile(ctx context.Context, root, path string) ([]byte, error) {
	var b bytes.Buffer
	err := Within(ctx, &b, "cat", "--", filepath.Join(root, path))
	return b.Bytes(), err
}

// ReadFile reads a file of the cached root.
func (s Stage) ReadFile(ctx context.Context, path string) ([]byte, error) {
	var b bytes.Buffer
	err := Within(ctx, &b, "tar", "-xOf", s.Tar, "./"+path)
	return b.Bytes(), err
}

// scanVariable asks this very program, started again, for a manifest: see Main.
const scanVariable = "CROSSROOT_TEST_SCAN"

// Scan describes a root, with the owners that it has inside.
func Scan(ctx context.Context, root string) (*tree.Manifest, error) {
	if os.Getuid() == 0 {
		return scan(root)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := Within(ctx, &b, "env", scanVariable+"="+root, self); err != nil {
		return nil, err
	}
	return tree.Parse(&b)
}

func scan(root string) (*tree.Manifest, error) {
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return tree.Scan(dir, tree.Options{})
}

// Main must be called first by the main function or TestMain of every program that uses this package: as a user, the
// program starts itself again to look at a root from inside a user namespace.
func Main() {
	root := os.Getenv(scanVariable)
	if root == "" {
		return
	}
	if err := writeScan(os.Stdout, root); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func writeScan(w io.Writer, root string) error {
	m, err := scan(root)
	if err != nil {
		return err
	}
	return m.Write(w)
}
