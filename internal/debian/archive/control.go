package archive

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/crossroot/crossroot/internal/debian/deb822"
	"github.com/crossroot/crossroot/internal/debian/decompress"
	"github.com/crossroot/crossroot/internal/debian/status"
	"github.com/crossroot/crossroot/internal/debian/version"
)

// Control is what a package says of itself.
type Control struct {
	Package, Version, Architecture string
	InstalledSize                  int64 // bytes; -1: not said
	Stanza                         deb822.Stanza
	Files                          map[string][]byte // the control files that deb(5) and its kin name, control among them
}

// controlFiles are the names that are taken over, and how large each may be; others are read over.
var controlFiles = map[string]int64{
	"control": 1 << 20, "preinst": 1 << 20, "postinst": 1 << 20, "prerm": 1 << 20, "postrm": 1 << 20, "config": 1 << 20,
	"conffiles": 1 << 20, "triggers": 1 << 20, "shlibs": 1 << 20,
	"templates": 8 << 20, "symbols": 8 << 20, "md5sums": 32 << 20, // lists, in proportion to the package
}

const maxControl = 64 << 20 // bytes, all of it

// readControl reads the control archive into memory.
func (a *Archive) readControl(m member, method decompress.Method) (Control, error) {
	z, err := a.open(m, method, maxControl)
	if err != nil {
		return Control{}, err
	}
	defer func() { _ = z.Close() }()
	c := Control{InstalledSize: -1, Files: map[string][]byte{}}
	t, o := tarReader{r: z}, order{seen: map[string]Type{}}
	for {
		h, err := t.next()
		if err == io.EOF {
			return c, c.parse()
		}
		if err == nil {
			err = c.take(h, &o, &t)
		}
		if err != nil {
			return Control{}, fmt.Errorf("read control files: %w", err)
		}
	}
}

// take reads one control file.
func (c *Control) take(h header, o *order, content io.Reader) error {
	e, err := o.accept(h)
	if err != nil {
		return err
	}
	if e.Name == "." {
		return nil
	}
	if e.Type != File || strings.Contains(e.Name, "/") {
		return damaged("%.200q is a %s, not a plain control file", e.Name, e.Type)
	}
	limit, known := controlFiles[e.Name]
	if !known {
		return nil
	}
	if e.Size > limit {
		return fmt.Errorf("%w: control file %s has %d bytes", ErrTooLarge, e.Name, e.Size)
	}
	text, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	c.Files[e.Name] = text
	return nil
}

// parse reads the control file's one stanza.
func (c *Control) parse() error {
	text, ok := c.Files["control"]
	if !ok {
		return damaged("no control file")
	}
	r := deb822.NewReader(strings.NewReader(string(text)), deb822.Options{})
	stanza, err := r.Next()
	if err != nil {
		return damaged("control file: %v", err)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		return damaged("control file: more than one stanza")
	}
	c.Stanza = stanza
	c.Package, c.Version, c.Architecture = stanza.Get("Package"), stanza.Get("Version"), stanza.Get("Architecture")
	if !status.ValidName(c.Package) {
		return damaged("control file: %.60q is no package's name", c.Package)
	}
	if _, err := version.Parse(c.Version); err != nil {
		return damaged("control file: %v", err)
	}
	if c.Architecture == "" || !status.ValidArchitecture(c.Architecture) {
		return damaged("control file: %.60q is no architecture", c.Architecture)
	}
	if s, ok := stanza.Lookup("Installed-Size"); ok {
		kib, err := strconv.ParseUint(s, 10, 40)
		if err != nil {
			return damaged("control file: %.60q is no size", s)
		}
		c.InstalledSize = int64(kib) << 10
	}
	return nil
}
