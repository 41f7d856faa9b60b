// Package debmake makes Debian packages for tests, also such as no tool would make.
//
// It promises to write what it is told, lies included. It must not be used outside of tests.
package debmake

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os/exec"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Member is a member of a tar archive.
type Member struct {
	Kind       byte   // type flag; 0: a file, unless the name ends in a slash
	Name, Link string // long ones get GNU's headers
	Content    string
	Mode       int64  // 0: 0755 or 0644
	UID, GID   int64  //
	Size       string // the size field as it is, if not ""
	Magic      string // instead of GNU's, if not ""
}

// Tar makes a tar archive with its end.
func Tar(members ...Member) []byte { return append(TarBody(members...), make([]byte, 1024)...) }

// TarBody makes a tar archive without its end.
func TarBody(members ...Member) []byte {
	var b bytes.Buffer
	for _, m := range members {
		if m.Kind == 0 {
			m.Kind = '0'
			if strings.HasSuffix(m.Name, "/") {
				m.Kind = '5'
			}
		}
		if len(m.Name) > 100 {
			b.Write(record(Member{Kind: 'L', Name: "././@LongLink", Content: m.Name + "\x00"}))
			m.Name = m.Name[:100]
		}
		if len(m.Link) > 100 {
			b.Write(record(Member{Kind: 'K', Name: "././@LongLink", Content: m.Link + "\x00"}))
			m.Link = m.Link[:100]
		}
		b.Write(record(m))
	}
	return b.Bytes()
}

func record(m Member) []byte {
	if m.Mode == 0 {
		m.Mode = map[bool]int64{true: 0o755, false: 0o644}[m.Kind == '5']
	}
	if m.Magic == "" {
		m.Magic = "ustar  \x00"
	}
	h := make([]byte, 512)
	copy(h, m.Name)
	copy(h[100:], fmt.Sprintf("%07o\x00", m.Mode))
	copy(h[108:], numeric(m.UID))
	copy(h[116:], numeric(m.GID))
	copy(h[124:], fmt.Sprintf("%011o\x00", len(m.Content)))
	if m.Size != "" {
		clear(h[124:136])
		copy(h[124:136], m.Size)
	}
	copy(h[136:], fmt.Sprintf("%011o\x00", 1_600_000_000))
	h[156] = m.Kind
	copy(h[157:], m.Link)
	copy(h[257:], m.Magic)
	Checksum(h)
	h = append(h, m.Content...)
	return append(h, make([]byte, -len(m.Content)&511)...)
}

// numeric is an owner: octal, or base 256 where that doesn't do.
func numeric(n int64) []byte {
	if n < 1<<21 {
		return fmt.Appendf(nil, "%07o\x00", n)
	}
	return []byte{0x80, 0, 0, byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// Checksum sets the checksum of a tar header.
func Checksum(h []byte) {
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h[:512] {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
}

// Part is a member of an ar archive.
type Part struct {
	Name    string
	Content []byte
	Size    string // as it is, if not ""
}

// Ar makes an ar archive.
func Ar(files ...Part) []byte {
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, f := range files {
		if f.Size == "" {
			f.Size = fmt.Sprint(len(f.Content))
		}
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8o%-10s`\n", f.Name, 1_600_000_000, 0, 0, 0o100644, f.Size)
		b.Write(f.Content)
		if len(f.Content)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// Deb makes a package out of its two tar archives, compressed by gzip.
func Deb(control, data []byte) []byte {
	return Ar(Version, Part{Name: "control.tar.gz", Content: Gzip(control)}, Part{Name: "data.tar.gz", Content: Gzip(data)})
}

// Version is the member that comes first.
var Version = Part{Name: "debian-binary", Content: []byte("2.0\n")}

// ControlTar is the control archive of a package.
func ControlTar(name, version, arch string, fields ...string) []byte {
	text := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: nobody\nDescription: a test\n", name, version, arch)
	for _, f := range fields {
		text += f + "\n"
	}
	return Tar(Member{Name: "./"}, Member{Name: "./control", Content: text})
}

// Gzip compresses.
func Gzip(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

// Zstd compresses.
func Zstd(b []byte) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return z.EncodeAll(b, nil)
}

// XZ compresses by the program of that name.
func XZ(b []byte, options ...string) ([]byte, error) {
	cmd := exec.Command("xz", append(options, "-c")...)
	cmd.Stdin = bytes.NewReader(b)
	return cmd.Output()
}
