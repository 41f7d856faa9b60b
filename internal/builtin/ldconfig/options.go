package ldconfig

import (
	"path"
	"strings"
)

const (
	defaultCache  = "/etc/ld.so.cache"
	defaultConfig = "/etc/ld.so.conf"
	exitUsage     = 64
)

// options are ldconfig's.
type options struct {
	print       bool   // -p
	verbose     bool   // -v
	build       bool   // not -N, not -n
	link        bool   // not -X
	onlyArgs    bool   // -n
	manual      bool   // -l
	ignoreAux   bool   // -i, -C
	showVersion bool   // -V
	chroot      string // -r
	cache       string // -C
	config      string // -f
	formatName  string // -c
	args        []string
}

// long options, with the letters that mean the same.
var long = []struct {
	name   string
	letter byte
}{
	{"print-cache", 'p'}, {"verbose", 'v'}, {"format", 'c'}, {"ignore-aux-cache", 'i'},
	{"help", '?'}, {"usage", 'u'}, {"version", 'V'},
}

const withArgument = "rCfc"

const usageText = `Usage: %s [-ilnNpvX?V] [-c FORMAT] [-C CACHE] [-f CONF] [-r ROOT]
            [--format=FORMAT] [--ignore-aux-cache] [--print-cache] [--verbose]
            [--help] [--usage] [--version]
`

// parseOptions reads args as getopt_long does: options and arguments may be
// mixed, long names shortened. stop says that nothing else is to be done.
func parseOptions(args []string, out report) (o options, stop bool, status int) {
	o = options{build: true, link: true, cache: defaultCache, config: defaultConfig}
	p := parser{rest: args[1:], out: out}
	for len(p.rest) > 0 {
		letter, value, ok := p.next(&o)
		if !ok {
			out.warnUsage()
			return o, true, exitUsage
		}
		switch letter {
		case 0:
		case '?', 'u':
			out.printf(usageText, path.Base(out.name))
			return o, true, 0
		case 'V':
			o.showVersion = true
			return o, true, 0
		default:
			o.set(letter, value)
		}
	}
	return o, false, 0
}

func (o *options) set(letter byte, value string) {
	switch letter {
	case 'p':
		o.print = true
	case 'v':
		o.verbose = true
	case 'N':
		o.build = false
	case 'n':
		o.build, o.onlyArgs = false, true
	case 'X':
		o.link = false
	case 'l':
		o.manual = true
	case 'i':
		o.ignoreAux = true
	case 'r':
		o.chroot = value
	case 'C':
		o.cache, o.ignoreAux = value, true
	case 'f':
		o.config = value
	case 'c':
		if value == "old" || value == "compat" || value == "new" {
			o.formatName = value
		}
	}
}

func (r report) warnUsage() {
	r.flush()
	base := path.Base(r.name)
	r.stderr.Write([]byte("Try `" + base + " --help' or `" + base + " --usage' for more information.\n"))
}

// parser holds what is still to be read.
type parser struct {
	rest  []string
	short string // letters of the current cluster
	out   report
}

// next takes one option; letter is 0 for an argument, which goes into o.
func (p *parser) next(o *options) (letter byte, value string, ok bool) {
	if p.short == "" {
		arg := p.rest[0]
		switch {
		case arg == "--":
			o.args = append(o.args, p.rest[1:]...)
			p.rest = nil
			return 0, "", true
		case strings.HasPrefix(arg, "--"):
			p.rest = p.rest[1:]
			return p.long(arg[2:])
		case len(arg) < 2 || arg[0] != '-':
			o.args = append(o.args, arg)
			p.rest = p.rest[1:]
			return 0, "", true
		}
		p.short = arg[1:]
	}
	letter, p.short = p.short[0], p.short[1:]
	if strings.IndexByte(withArgument, letter) >= 0 {
		value, p.short = p.short, ""
		p.rest = p.rest[1:]
		if value == "" {
			return p.argument(letter, "option requires an argument -- '%s'", string(letter))
		}
		return letter, value, true
	}
	if p.short == "" {
		p.rest = p.rest[1:]
	}
	if strings.IndexByte("pvNXnli?V", letter) < 0 {
		p.out.warn(nil, "invalid option -- '%c'", letter)
		return 0, "", false
	}
	return letter, "", true
}

// argument takes the next word as the value of an option.
func (p *parser) argument(letter byte, missing, name string) (byte, string, bool) {
	if len(p.rest) == 0 {
		p.out.warn(nil, missing, name)
		return 0, "", false
	}
	value := p.rest[0]
	p.rest = p.rest[1:]
	return letter, value, true
}

func (p *parser) long(arg string) (letter byte, value string, ok bool) {
	name, value, given := strings.Cut(arg, "=")
	var found []string
	for _, l := range long {
		if l.name == name {
			found, letter = []string{l.name}, l.letter
			break
		}
		if strings.HasPrefix(l.name, name) {
			found, letter = append(found, l.name), l.letter
		}
	}
	switch {
	case len(found) == 0:
		p.out.warn(nil, "unrecognized option '--%s'", arg)
		return 0, "", false
	case len(found) > 1:
		p.out.warn(nil, "option '--%s' is ambiguous; possibilities: '--%s'", arg, strings.Join(found, "' '--"))
		return 0, "", false
	case given && letter != 'c':
		p.out.warn(nil, "option '--%s' doesn't allow an argument", found[0])
		return 0, "", false
	case letter == 'c' && !given:
		return p.argument(letter, "option '--%s' requires an argument", found[0])
	}
	return letter, value, true
}
