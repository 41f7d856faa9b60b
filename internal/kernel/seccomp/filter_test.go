package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

// run interprets a filter on one call, as the kernel would.
func run(t *testing.T, p []unix.SockFilter, arch, nr uint32, args [6]uint64) uint32 {
	t.Helper()
	var a uint32
	for pc := 0; pc < len(p); pc++ {
		in := p[pc]
		jump := func(yes bool) {
			if yes {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			switch {
			case in.K == offsetNr:
				a = nr
			case in.K == offsetArch:
				a = arch
			default:
				a = uint32(args[(in.K-offsetArgs)/8])
			}
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(a == in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(a >= in.K)
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		default:
			t.Fatalf("instruction %d: code %#x", pc, in.Code)
		}
	}
	t.Fatal("ran off the end")
	return 0
}

func TestFilter(t *testing.T) {
	const magic = 0x43520001
	eperm, enosys := errno(unix.EPERM), errno(unix.ENOSYS)
	allow, notify := uint32(unix.SECCOMP_RET_ALLOW), uint32(unix.SECCOMP_RET_USER_NOTIF)
	tests := []struct {
		name   string
		goarch string
		arch   uint32
		nr     uint32
		args   [6]uint64
		want   uint32
	}{
		{"read", "amd64", auditAMD64, 0, [6]uint64{}, allow},
		{"mount", "amd64", auditAMD64, 165, [6]uint64{}, eperm},
		{"mount through int 0x80", "amd64", auditI386, 21, [6]uint64{}, eperm},
		{"number 165 of i386 is not mount", "amd64", auditI386, 165, [6]uint64{}, allow},
		{"x32 mount", "amd64", auditAMD64, x32Bit | 165, [6]uint64{}, enosys},
		{"unknown ABI", "amd64", auditARM, 21, [6]uint64{}, enosys},
		{"uname", "amd64", auditAMD64, 63, [6]uint64{}, notify},
		{"uname i386", "amd64", auditI386, 122, [6]uint64{}, notify},
		{"magic", "amd64", auditAMD64, 157, [6]uint64{magic, 1}, notify},
		{"magic i386", "amd64", auditI386, 172, [6]uint64{magic, 1}, notify},
		{"another prctl", "amd64", auditAMD64, 157, [6]uint64{15}, allow},
		{"mknod char", "amd64", auditAMD64, 133, [6]uint64{0, 0o20666}, notify},
		{"mknod block", "amd64", auditAMD64, 133, [6]uint64{0, 0o60666}, notify},
		{"mkfifo", "amd64", auditAMD64, 133, [6]uint64{0, 0o10666}, allow},
		{"mknod regular", "amd64", auditAMD64, 133, [6]uint64{0, 0o100666}, allow},
		{"mknod socket", "amd64", auditAMD64, 133, [6]uint64{0, 0o140666}, allow},
		{"mknodat char", "amd64", auditAMD64, 259, [6]uint64{0, 0, 0o20600}, notify},
		{"TIOCSTI", "amd64", auditAMD64, 16, [6]uint64{0, 0x5412}, eperm},
		{"TIOCSTI with high bits", "amd64", auditAMD64, 16, [6]uint64{0, 1<<32 | 0x5412}, eperm},
		{"TCGETS", "amd64", auditAMD64, 16, [6]uint64{0, 0x5401}, allow},
		{"AF_ALG", "amd64", auditAMD64, 41, [6]uint64{38}, errno(unix.EAFNOSUPPORT)},
		{"AF_UNIX", "amd64", auditAMD64, 41, [6]uint64{1}, allow},
		{"io_uring", "amd64", auditAMD64, 425, [6]uint64{}, enosys},
		{"arm64 mount", "arm64", auditARM64, 40, [6]uint64{}, eperm},
		{"arm mount on arm64", "arm64", auditARM, 21, [6]uint64{}, eperm},
	}
	for _, tt := range tests {
		p, err := Filter(tt.goarch, magic)
		if err != nil {
			t.Fatal(err)
		}
		if got := run(t, p, tt.arch, tt.nr, tt.args); got != tt.want {
			t.Errorf("%s: %#x, want %#x", tt.name, got, tt.want)
		}
	}
	if _, err := Filter("mips", magic); err == nil {
		t.Error("a host CPU without a table must be refused")
	}
}
