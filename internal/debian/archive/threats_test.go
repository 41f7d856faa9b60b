package archive

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	. "github.com/crossroot/crossroot/internal/debian/archive/debmake"
)

func file(name string) Member           { return Member{Name: name, Content: "x"} }
func dir(name string) Member            { return Member{Name: name, Kind: '5'} }
func link(name, target string) Member   { return Member{Name: name, Kind: '2', Link: target} }
func hard(name, target string) Member   { return Member{Name: name, Kind: '1', Link: target} }
func raw(kind byte, name string) Member { return Member{Name: name, Kind: kind} }

func withSize(size string) []Member {
	return []Member{{Name: "./f", Content: "0123456789", Size: size}}
}

// What a package's files try: the numbers are those of the catalogue of attacks.
func TestHostileFiles(t *testing.T) {
	for name, members := range map[string][]Member{
		"B01 up":                        {file("../../../../tmp/canary/p")},
		"B01 absolute":                  {file("/tmp/canary/p")},
		"B01 up inside":                 {file("./ok/../../x")},
		"B01 dotdot":                    {dir("..")},
		"B01 dotdot behind":             {dir("./a/..")},
		"B01 dot":                       {file(".")},
		"B01 dot inside":                {file("./a/./b")},
		"B01 empty":                     {file("")},
		"B01 empty directory":           {dir("")},
		"B01 slash":                     {dir("/")},
		"B01 slashes":                   {file("//x")},
		"B01 slashes inside":            {file("./a//x")},
		"B01 slash behind a file":       {Member{Name: "./a/", Kind: '0'}},
		"B01 two slashes behind":        {dir("./a//")},
		"B01 dot twice":                 {file("././x")},
		"B01 ustar prefix":              {Member{Name: "x", Magic: "ustar\x0000" + strings.Repeat("\x00", 80) + "../.."}},
		"B02 link, then below":          {link("./d", "/tmp/canary"), file("./d/p")},
		"B02 relative link":             {link("./d", "../../../tmp/canary"), file("./d/p")},
		"B02 below a file":              {file("./d"), file("./d/p")},
		"B02 below a hard link":         {file("./e"), hard("./d", "./e"), file("./d/p")},
		"B02 far below":                 {link("./d", "/tmp/canary"), file("./d/e/f/p")},
		"B03 directory to link to file": {dir("./a"), link("./a", "/tmp/canary"), file("./a/x")},
		"B03 unlisted directory":        {file("./a/b/x"), link("./a", "/tmp/canary")},
		"B04 hard link out":             {hard("./sh", "/etc/passwd"), file("./sh")},
		"B04 hard link up":              {hard("./s", "../../etc/passwd")},
		"B04 hard link to later file":   {hard("./s", "./t"), file("./t")},
		"B04 hard link to nothing":      {hard("./s", "")},
		"B04 hard link to itself":       {hard("./s", "./s")},
		"B04 hard link to a link":       {link("./l", "/etc/passwd"), hard("./s", "./l")},
		"B04 hard link to a directory":  {dir("./d"), hard("./s", "./d")},
		"B04 hard link, then written":   {file("./t"), hard("./s", "./t"), file("./s")},
		"B06 root a link":               {link("./", "/tmp/canary")},
		"B06 root a plain link":         {link(".", "/tmp/canary")},
		"B06 root a file":               {file(".")},
		"B06 root a hard link":          {file("./x"), hard(".", "./x")},
		"B07 file over directory":       {dir("./d"), file("./d")},
		"B07 directory over file":       {file("./d"), dir("./d")},
		"B07 directory over link":       {link("./d", "e"), dir("./d")},
		"B08 file twice":                {file("./a"), Member{Name: "./a", Content: "y"}},
		"B08 spelled otherwise":         {file("./a"), file("a")},
		"B10 sparse":                    {raw('S', "./f")},
		"B10 sparse by PAX":             {Member{Name: "./PaxHeaders/f", Kind: 'x', Content: "22 GNU.sparse.major=1\n"}, file("./f")},
		"B11 long name":                 {Member{Name: "././@LongLink", Kind: 'L', Content: strings.Repeat("a/", 40<<10)}, file("./f")},
		"B11 64 MiB of name":            {Member{Name: "././@LongLink", Kind: 'L', Size: "00400000000"}},
		"B11 long component":            {file("./" + strings.Repeat("a", 256))},
		"B11 long link":                 {Member{Name: "././@LongLink", Kind: 'K', Content: strings.Repeat("a", 40<<10)}, link("./f", "x")},
		"B11 name of nothing":           {Member{Name: "././@LongLink", Kind: 'L', Content: "./a\x00"}},
		"B11 two long names":            {Member{Kind: 'L', Content: "./a\x00"}, Member{Kind: 'L', Content: "./b\x00"}, file("./f")},
		"B11 long name with NUL":        {Member{Kind: 'L', Content: "./a\x00b\x00"}, file("./f")},
		"B11 empty long name":           {Member{Kind: 'L', Content: "\x00\x00"}, file("./f")},
		"B11 PAX":                       {Member{Name: "x", Kind: 'x', Content: "30 path=../../../etc/passwd\n"}, file("./f")},
		"B11 PAX global":                {Member{Name: "x", Kind: 'g', Content: "30 path=../../../etc/passwd\n"}, file("./f")},
		"B14 octal 77777777777":         withSize("77777777777\x00"),
		"B14 base 256":                  withSize("\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"),
		"B14 base 256 of 12 bytes":      withSize("\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		"B14 negative":                  withSize("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		"B14 minus":                     withSize("-0000000001\x00"),
		"B14 no number":                 withSize("0000000009x\x00"),
		"B14 1 TiB":                     withSize("\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00"),
		"B14 directory with content":    {Member{Name: "./d", Kind: '5', Content: "x"}},
		"B14 link with content":         {Member{Name: "./d", Kind: '2', Link: "x", Content: "x"}},
		"B19 block device":              {raw('4', "./sda")},
		"B19 character device":          {raw('3', "./mem")},
		"B19 whiteout":                  {raw('3', "./etc/passwd")},
		"B20 FIFO":                      {raw('6', "./f")},
		"B20 socket":                    {raw('s', "./f")},
		"B20 Z":                         {raw('Z', "./x")},
		"B20 V":                         {raw('V', "./x")},
		"B20 M":                         {raw('M', "./x")},
		"B20 D":                         {raw('D', "./x")},
		"B20 link to nothing":           {link("./x", "")},
		"B22 extended attributes":       {Member{Name: "x", Kind: 'x', Content: "53 SCHILY.xattr.user.overlay.redirect=/etc\n"}, file("./a")},
		"B22 Solaris":                   {raw('X', "./x")},
		"B22 Solaris attributes":        {raw('E', "./x")},
		"B23 owner -1":                  {Member{Name: "./f", UID: 4294967295}},
		"B23 owner 2^31":                {Member{Name: "./f", UID: 1 << 31}},
		"B23 group -1":                  {Member{Name: "./f", GID: 4294967295}},
		"name with control characters":  {file("../\x1b[2J\nx")},
	} {
		checkBad(t, name, Deb(control, Tar(members...)))
	}
}

// B24, and B08 and B26 to B29 as far as the control file goes.
func TestHostileControl(t *testing.T) {
	good := "Package: pkg\nVersion: 1\nArchitecture: amd64\n"
	text := func(s string) Member { return Member{Name: "./control", Content: s} }
	for name, members := range map[string][]Member{
		"B24 link":               {text(good), link("./postinst", "/etc/passwd")},
		"B24 control a link":     {link("./control", "/etc/passwd")},
		"B24 hard link":          {text(good), hard("./x", "/etc/shadow")},
		"B24 up":                 {text(good), file("../../x")},
		"B24 FIFO":               {text(good), raw('6', "./preinst")},
		"B24 directory":          {text(good), Member{Name: "./md5sums", Kind: '5', Mode: 0o1000}},
		"B24 file in directory":  {text(good), file("./a/b")},
		"B24 root a file":        {text(good), file(".")},
		"B24 large script":       {text(good), Member{Name: "./postinst", Content: strings.Repeat("x", 1<<20+1)}},
		"B08 control twice":      {text(good), Member{Name: "control", Content: good}},
		"no control":             {file("./postinst")},
		"empty control":          {text("")},
		"two stanzas":            {text(good + "\n" + good)},
		"B26 traversal":          {text("Package: ../../../etc/cron.d/x\nVersion: 1\nArchitecture: amd64\n")},
		"B26 option":             {text("Package: -rf\nVersion: 1\nArchitecture: amd64\n")},
		"B26 long":               {text("Package: " + strings.Repeat("a", 300) + "\nVersion: 1\nArchitecture: amd64\n")},
		"B27 field twice":        {text(good + "package: other\n")},
		"B27 NUL":                {text(good + "X: a\x00\n")},
		"B27 no colon":           {text(good + "what\n")},
		"B29 large":              {text(good + "Description: " + strings.Repeat("x", 1<<20) + "\n")},
		"version":                {text("Package: pkg\nVersion: ../1\nArchitecture: amd64\n")},
		"no version":             {text("Package: pkg\nArchitecture: amd64\n")},
		"architecture":           {text("Package: pkg\nVersion: 1\nArchitecture: a/b\n")},
		"no architecture":        {text("Package: pkg\nVersion: 1\n")},
		"size negative":          {text(good + "Installed-Size: -1\n")},
		"size too large":         {text(good + "Installed-Size: 99999999999999999999\n")},
		"B22 attributes":         {Member{Name: "x", Kind: 'x', Content: "20 SCHILY.xattr.a=b\n"}, text(good)},
		"B12 too much unpacked":  {text(good), Member{Name: "./unknown", Content: strings.Repeat("\x00", maxControl)}},
		"B11 unknown long names": {text(good), Member{Kind: 'L', Size: "77777777777"}},
	} {
		checkBad(t, name, Deb(Tar(members...), Tar()))
	}
	// Modes don't matter, nothing of it is laid on a disk; unknown names are read over.
	a := Deb(Tar(Member{Name: "./", Mode: 0o1000}, text(good), file("./unknown")), Tar())
	if _, err := read(a); err != nil {
		t.Error(err)
	}
	opened, err := Open(bytes.NewReader(a), int64(len(a)))
	if err != nil || len(opened.Control.Files) != 1 {
		t.Errorf("control files: %v %v", opened.Control.Files, err)
	}
}

// B08, B17, B18: the container.
func TestHostileContainers(t *testing.T) {
	c, d := Part{Name: "control.tar.gz", Content: Gzip(control)}, Part{Name: "data.tar.gz", Content: Gzip(Tar())}
	named := func(f Part, name string) Part { f.Name = name; return f }
	sized := func(f Part, size string) Part { f.Size = size; return f }
	version := func(s string) Part { return Part{Name: "debian-binary", Content: []byte(s)} }
	many := []Part{Version, c, d}
	for i := range 100 {
		many = append(many, Part{Name: fmt.Sprint("x", i)})
	}
	odd := Deb(control, Tar())
	noPad := bytes.Replace(Ar(Version, sized(Part{Name: "_a", Content: []byte("x")}, "1"), c, d), []byte("x\ncontrol"), []byte("x control"), 1)
	for name, deb := range map[string][]byte{
		"empty":                     {},
		"B17 magic":                 append([]byte("!<arch>\x00"), odd[8:]...),
		"B17 thin":                  append([]byte("!<thin>\n"), odd[8:]...),
		"B17 end of header":         bytes.Replace(odd, []byte("`\n"), []byte("`x"), 1),
		"B17 unterminated":          []byte("!<arch>\n0123456789ABCDE.A123456789A.01234.01234.0123456.012345678.0."),
		"B17 only magic":            []byte("!<arch>\n"),
		"B17 size -1":               Ar(Version, sized(c, "-1"), d),
		"B17 size +1":               Ar(Version, sized(c, "+1"), d),
		"B17 size empty":            Ar(Version, sized(c, " "), d),
		"B17 size huge":             Ar(Version, sized(c, "9999999999"), d),
		"B17 size hexadecimal":      Ar(Version, sized(c, "0x10"), d),
		"B17 no padding":            noPad,
		"B17 size 0":                Ar(Version, Part{Name: "control.tar.gz"}, d),
		"B17 data size 0":           Ar(Version, c, Part{Name: "data.tar"}),
		"B17 long names //":         Ar(Part{Name: "//", Content: []byte("data.tar.gz/")}, Version, c, d),
		"B17 long name #1/":         Ar(Version, c, named(d, "#1/11")),
		"B17 long name /0":          Ar(Version, c, named(d, "/0")),
		"B17 name with escape":      Ar(Version, c, named(d, "\x1b[2J")),
		"B17 many members":          Ar(many...),
		"B18 data before control":   Ar(Version, d, c),
		"B18 no debian-binary":      Ar(c, d),
		"B18 debian-binary later":   Ar(c, Version, d),
		"B18 version 3.0":           Ar(version("3.0\n"), c, d),
		"B18 version 2":             Ar(version("2\n"), c, d),
		"B18 version 2.0 and more":  Ar(version("2.0\nrm -rf\n"), c, d),
		"B18 version without line":  Ar(version("2.0"), c, d),
		"B18 version long":          Ar(version(strings.Repeat("2", 100)), c, d),
		"B18 no data":               Ar(Version, c),
		"B18 no control":            Ar(Version, d),
		"B18 gzip, an ipk":          Gzip(Tar(file("./debian-binary"), file("./control.tar.gz"), file("./data.tar.gz"))),
		"B18 lzma":                  Ar(Version, c, Part{Name: "data.tar.lzma", Content: []byte("\x5d\x00\x00\x80\x00")}),
		"B18 bzip2":                 Ar(Version, c, Part{Name: "data.tar.bz2", Content: []byte("BZh91AY")}),
		"B18 unknown":               Ar(Version, c, named(d, "data.tar.7z")),
		"B18 zstd as gz":            Ar(Version, c, Part{Name: "data.tar.gz", Content: Zstd(Tar())}),
		"B18 gz as nothing":         Ar(Version, c, named(d, "data.tar")),
		"B18 nothing as gz":         Ar(Version, c, Part{Name: "data.tar.gz", Content: Tar()}),
		"B18 unknown member":        Ar(Version, Part{Name: "extra"}, c, d),
		"B08 two data":              Ar(Version, c, d, d),
		"B08 two data, otherwise":   Ar(Version, c, d, Part{Name: "data.tar.zst", Content: Zstd(Tar())}),
		"B08 two control":           Ar(Version, c, c, d),
		"B08 control behind data":   Ar(Version, c, d, named(c, "control.tar")),
		"B08 two debian-binary":     Ar(Version, Version, c, d),
		"B15 tail":                  append(bytes.Clone(odd), "\n"...),
		"B15 tail in tar":           Ar(Version, c, Part{Name: "data.tar", Content: append(Tar(), "x"+strings.Repeat("\x00", 511)...)}),
		"B15 tail that is no block": Ar(Version, c, Part{Name: "data.tar", Content: append(Tar(), 0)}),
		"B15 one zero block":        Ar(Version, c, Part{Name: "data.tar", Content: append(TarBody(file("./a")), make([]byte, 512)...)}),
		"B15 header after the end":  Ar(Version, c, Part{Name: "data.tar", Content: append(Tar(), Tar(file("./a"))...)}),
		"B13 zstd cut":              Ar(Version, c, Part{Name: "data.tar.zst", Content: Zstd(bytes.Repeat([]byte("noise"), 1000))[:20]}),
		"B13 xz garbage":            Ar(Version, c, Part{Name: "data.tar.xz", Content: []byte("\xfd7zXZ\x00garbage and more of it")}),
		"checksum of a header":      Ar(Version, c, Part{Name: "data.tar", Content: bytes.Replace(Tar(file("./a")), []byte("./a"), []byte("./b"), 1)}),
	} {
		checkBad(t, name, deb)
	}
}

// zeros is an endless file's content.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// B12: little that becomes much.
func TestBombs(t *testing.T) {
	const size = 6 << 30
	head := TarBody(Member{Name: "./zeros", Size: fmt.Sprintf("%011o\x00", int64(size))})
	var bomb bytes.Buffer
	z, err := zstd.NewWriter(&bomb, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = z.Write(head)
	if _, err := io.CopyN(z, zeros{}, size/24); err != nil {
		t.Fatal(err)
	}
	z.Close()
	t.Logf("bomb of %d bytes", bomb.Len())
	deb := wrap("data.tar.zst", bomb.Bytes())
	checkBad(t, "zstd", deb)
	lies := ControlTar("pkg", "1", "amd64", "Installed-Size: 1000000000") // what the package says itself is no excuse
	checkBad(t, "zstd, declared", Ar(Version, Part{Name: "control.tar.gz", Content: Gzip(lies)}, Part{Name: "data.tar.zst", Content: bomb.Bytes()}))
	checkBad(t, "control", Ar(Version, Part{Name: "control.tar.zst", Content: bomb.Bytes()}, Part{Name: "data.tar.gz", Content: Gzip(Tar())}))

	// Windows that want more memory than there should be used.
	checkBad(t, "zstd window", wrap("data.tar.zst", []byte("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00")))
	wide, err := XZ(Tar(), "--lzma2=dict=1536MiB")
	if err != nil {
		t.Fatalf("xz: %v", err)
	}
	checkBad(t, "xz window", wrap("data.tar.xz", wide))

	// Members of gzip beyond the first.
	member := Gzip(nil)
	checkBad(t, "gzip members", wrap("data.tar.gz", append(Gzip(Tar()), bytes.Repeat(member, 50000)...)))
	checkBad(t, "gzip members in front", wrap("data.tar.gz", append(bytes.Repeat(member, 50000), Gzip(Tar())...)))

	// Entries and names without end.
	var names bytes.Buffer
	w, err := zstd.NewWriter(&names, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxEntries / 10 {
		_, _ = w.Write(TarBody(Member{Name: fmt.Sprintf("./%07d/%s", i, strings.Repeat("n/", 1900)), Kind: '5'}))
	}
	w.Close()
	checkBad(t, "names", Ar(Version, Part{Name: "control.tar.gz", Content: Gzip(lies)}, Part{Name: "data.tar.zst", Content: names.Bytes()}))
}

func FuzzOpen(f *testing.F) {
	members := []Member{dir("./"), dir("./usr"), file("./usr/a"), link("./usr/b", "a"), hard("./usr/c", "./usr/a"), file("./usr/" + strings.Repeat("l", 120))}
	f.Add(Deb(control, Tar(members...)))
	f.Add(Ar(Version, Part{Name: "control.tar", Content: control}, Part{Name: "data.tar", Content: Tar(members...)}))
	f.Add(Ar(Version, Part{Name: "control.tar.zst", Content: Zstd(control)}, Part{Name: "data.tar.zst", Content: Zstd(Tar(members...))}))
	f.Fuzz(func(t *testing.T, deb []byte) {
		if len(deb) > 1<<20 {
			return
		}
		got, err := read(deb)
		if err == nil && strings.Contains(got, "..") && strings.Contains(got, " ../") && !strings.Contains(got, "symbolic") {
			t.Fatal(got)
		}
	})
}

// FuzzTar goes straight to the headers.
func FuzzTar(f *testing.F) {
	f.Add(Tar(dir("./"), file("./usr/a"), link("./usr/b", "a"), hard("./usr/c", "./usr/a"), file("./usr/"+strings.Repeat("l", 120))))
	f.Fuzz(func(t *testing.T, tar []byte) {
		r, o := tarReader{r: bytes.NewReader(tar)}, order{seen: map[string]Type{}}
		for {
			h, err := r.next()
			if err != nil {
				return
			}
			e, err := o.accept(h)
			if err != nil {
				return
			}
			if e.Name == "" || e.Name[0] == '/' || strings.Contains("/"+e.Name+"/", "/../") || strings.Contains(e.Name, "\x00") {
				t.Fatalf("%+v", e)
			}
			if n, err := io.Copy(io.Discard, &r); err == nil && n != e.Size {
				t.Fatalf("%+v: %d bytes", e, n)
			}
		}
	})
}
