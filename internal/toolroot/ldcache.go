package toolroot

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/crossroot/crossroot/internal/ldcache"
	"github.com/crossroot/crossroot/internal/relocate"
)

const cacheName = "ld.so.cache" // as relocation renames it in the loader

// libraryABI is what glibc's loader accepts in a cache, per machine; on others
// there is no cache.
var libraryABI = map[elf.Machine]ldcache.ABI{
	elf.EM_X86_64:  ldcache.ABIX8664,
	elf.EM_AARCH64: ldcache.ABIAArch64,
}

// writeCache writes the loader's cache. Without it, the loader of each program
// looks into a dozen directories that don't exist before it finds libc.
func (b *builder) writeCache(dir string) error {
	if b.musl { // its loader reads a search path (dynlink.c: etc_ldso_path)
		name := strings.TrimSuffix(path.Base(b.loader), ".so.1") + ".path"
		return writeNew(filepath.Join(dir, name), []byte("/.cr/lib\n"), 0o644)
	}
	abi, ok := libraryABI[b.host.Machine]
	if !ok || b.loader == "" {
		return nil
	}
	libDir, _ := relocate.HiddenDir(b.libDir)
	cache := ldcache.Cache{Order: binary.LittleEndian, Generator: "crossroot"}
	for _, it := range b.items {
		name := path.Base(it.dest)
		if hidden+path.Dir(it.dest) == libDir && strings.Contains(name, ".so") {
			cache.Entries = append(cache.Entries, ldcache.Entry{Name: name, Path: hidden + it.dest, Flags: ldcache.TypeLibc6 | abi})
		}
	}
	content, err := cache.Encode()
	if err != nil {
		return fmt.Errorf("write library cache: %w", err)
	}
	return writeNew(filepath.Join(dir, cacheName), content, 0o644)
}
