package worker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"

	"github.com/crossroot/crossroot/internal/exempt"
	"github.com/crossroot/crossroot/internal/kernel/fd"
	"github.com/crossroot/crossroot/internal/transaction"
	"github.com/crossroot/crossroot/internal/tree"
)

// describe writes a manifest of what the run changed: the changed paths as the upper has them, the deleted ones as the
// overlay's whiteouts. Files in which something may differ for a known reason are described without that.
func (w *worker) describe(plan *transaction.Plan) ([]byte, error) {
	all, err := tree.Scan(w.layout.upper, tree.Options{SkipXattr: func(name string) bool { return strings.HasPrefix(name, "user.overlay.") }})
	if err != nil {
		return nil, err
	}
	list, err := exempt.Default()
	if err != nil {
		return nil, err
	}
	changed := map[string]bool{}
	for _, c := range plan.Changes() {
		changed[strings.TrimPrefix(c.Path, "/")] = true
	}
	var m tree.Manifest
	for _, e := range all.Entries {
		if !changed[e.Path] {
			continue
		}
		if e.Type == tree.File {
			if err := mask(&e, list, w.layout.upper); err != nil {
				return nil, err
			}
		}
		m.Entries = append(m.Entries, e)
	}
	var text bytes.Buffer
	err = m.Write(&text)
	return text.Bytes(), err
}

// maxMasked bounds the files in which a mask is looked for: logs and small databases.
const maxMasked = 16 << 20

// mask replaces the digest of a file that has an exemption by that of what must be equal.
func mask(e *tree.Entry, list []exempt.Exemption, upper *os.File) error {
	if _, named := exempt.Masked(list, e.Path, nil); !named || e.Size > maxMasked {
		return nil
	}
	content, err := fd.ReadFile(upper, e.Path, maxMasked)
	if err != nil {
		return err
	}
	content, _ = exempt.Masked(list, e.Path, content)
	sum := sha256.Sum256(content)
	e.Size, e.Hash = int64(len(content)), hex.EncodeToString(sum[:])
	return nil
}
