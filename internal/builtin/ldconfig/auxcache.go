package ldconfig

import (
	"debug/elf"
	"encoding/binary"
	"path"

	"github.com/crossroot/crossroot/internal/kernel/rootpath"
)

// The auxiliary cache remembers by inode what a library said, so that the next
// ldconfig need not read it. It is written as the target's would, in the order
// of its hash table, for that next one to use; what an old one says is not
// believed here, only its order is kept. Format: glibc, elf/cache.c.
const (
	auxFile      = "/var/cache/ldconfig/aux-cache"
	auxHeader    = 32
	maxAuxFile   = 16 << 20
	auxMinBucket = 8191
)

// auxSizes are the sizes that the hash table can have.
var auxSizes = []int{1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071, 262139, 524287}

type auxID struct{ ino, ctime, size, dev uint64 }

type auxEntry struct {
	id   auxID
	used bool
	lib  library
}

type auxCache struct {
	buckets [][]*auxEntry // of each the newest last
	byID    map[auxID]*auxEntry
}

func newAuxCache(size int) *auxCache {
	return &auxCache{buckets: make([][]*auxEntry, size), byID: map[auxID]*auxEntry{}}
}

func (c *auxCache) bucket(id auxID) int {
	h := ((id.ino*11+id.ctime)*11+id.size)*11 + id.dev
	return int(uint32(h^h>>32)) % len(c.buckets)
}

func (c *auxCache) insert(id auxID) *auxEntry {
	e := &auxEntry{id: id}
	i := c.bucket(id)
	c.buckets[i] = append(c.buckets[i], e)
	c.byID[id] = e
	return e
}

// lookAt examines a library, once for each inode.
func (r *run) lookAt(name string, info rootpath.Info, isLink bool) (library, bool) {
	if e := r.aux.byID[auxIDOf(info)]; e != nil && e.used {
		return e.lib, true
	}
	lib, opened, ok := r.examine(name, isLink)
	if !ok || !r.build {
		return lib, ok
	}
	id := auxIDOf(opened)
	e := r.aux.byID[id]
	if e == nil {
		e = r.aux.insert(id)
	}
	e.used, e.lib = true, lib
	return lib, true
}

func auxIDOf(i rootpath.Info) auxID {
	return auxID{i.Ino, uint64(i.Ctime), uint64(i.Size), i.Dev}
}

// auxEntrySize depends on how the CPU's C ABI aligns 64-bit numbers.
func (f facts) auxEntrySize() int {
	const unpadded, padded = 44, 48
	if f.minor < 33 {
		return padded
	}
	switch f.machine {
	case elf.EM_386, elf.EM_68K, elf.EM_SH, elf.EM_OPENRISC, elf.EM_MICROBLAZE, elf.EM_ALTERA_NIOS2, elf.EM_ARC_COMPACT2, 252:
		return unpadded
	}
	return padded
}

// loadAuxCache takes over the order of the entries of an old file.
func (r *run) loadAuxCache() *auxCache {
	empty := newAuxCache(auxMinBucket)
	if r.ignoreAux || r.facts.auxMagic == "" {
		return empty
	}
	b, err := r.tree.ReadFile(auxFile, maxAuxFile)
	if err != nil || len(b) < auxHeader || string(b[:len(r.facts.auxMagic)]) != r.facts.auxMagic {
		return empty
	}
	order, size := r.facts.order, r.facts.auxEntrySize()
	count, text := uint64(order.Uint32(b[24:])), uint64(order.Uint32(b[28:]))
	if uint64(len(b)) != auxHeader+count*uint64(size)+text {
		return empty
	}
	c := newAuxCache(auxBuckets(int(count)))
	for i := range int(count) {
		e := b[auxHeader+i*size:]
		id := auxID{order.Uint64(e), order.Uint64(e[8:]), order.Uint64(e[16:]), order.Uint64(e[24:])}
		if c.byID[id] != nil {
			return empty
		}
		c.insert(id)
	}
	return c
}

func auxBuckets(count int) int {
	for _, n := range auxSizes {
		if n >= count {
			return n
		}
	}
	return auxSizes[len(auxSizes)-1]
}

// saveAuxCache writes the file; that it fails is nobody's loss.
func (r *run) saveAuxCache() {
	if r.facts.auxMagic == "" {
		return
	}
	b := r.aux.encode(r.facts)
	dir := path.Dir(auxFile)
	if _, err := r.tree.Stat(dir); err != nil && r.tree.Mkdir(dir, 0o700) != nil {
		return
	}
	temp := auxFile + "~"
	f, err := r.tree.Create(temp, 0o600)
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if closing := f.Close(); err != nil || closing != nil || r.tree.Rename(temp, path.Base(auxFile)) != nil {
		_ = r.tree.Unlink(temp)
	}
}

func (c *auxCache) encode(f facts) []byte {
	order := f.order.(binary.AppendByteOrder)
	text := []byte{0}
	var libs []byte
	count := 0
	for _, bucket := range c.buckets {
		for i := len(bucket) - 1; i >= 0; i-- {
			e := bucket[i]
			if !e.used {
				continue
			}
			count++
			for _, n := range []uint64{e.id.ino, e.id.ctime, e.id.size, e.id.dev} {
				libs = order.AppendUint64(libs, n)
			}
			at := uint32(0)
			if e.lib.soname != "" {
				at = uint32(len(text))
				text = append(append(text, e.lib.soname...), 0)
			}
			third := e.lib.isaLevel
			if f.minor < 33 {
				third = e.lib.osVersion
			}
			libs = order.AppendUint32(order.AppendUint32(order.AppendUint32(libs, e.lib.flags), at), third)
			libs = append(libs, make([]byte, f.auxEntrySize()-44)...)
		}
	}
	out := append([]byte(f.auxMagic), make([]byte, 24-len(f.auxMagic))...)
	out = order.AppendUint32(order.AppendUint32(out, uint32(count)), uint32(len(text)))
	return append(append(out, libs...), text...)
}
