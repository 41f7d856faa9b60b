#include "textflag.h"

// entry: the kernel's initial stack is at SP. FS gets a static buffer, since the calls below read g through it.
// 256 bytes under the initial stack stay free: the emulator's longer argument vector grows into them.
TEXT ·entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ SP, BX
	SUBQ $256, SP
	ANDQ $~15, SP
	SUBQ $64, SP
	MOVQ $0x1002, DI // ARCH_SET_FS
	LEAQ ·tls+128(SB), SI
	MOVQ $158, AX // arch_prctl
	SYSCALL
	MOVQ BX, 0(SP)
	MOVQ BX, 32(SP)
	CALL ·start(SB)
	// Not started by binfmt_misc: be the ordinary program.
	MOVQ 32(SP), SP
	JMP _rt0_amd64_linux(SB)

// func syscall6(nr, a, b, c, d, e, f uintptr) uintptr
TEXT ·syscall6(SB),NOSPLIT,$0-64
	MOVQ nr+0(FP), AX
	MOVQ a+8(FP), DI
	MOVQ b+16(FP), SI
	MOVQ c+24(FP), DX
	MOVQ d+32(FP), R10
	MOVQ e+40(FP), R8
	MOVQ f+48(FP), R9
	SYSCALL
	MOVQ AX, ret+56(FP)
	RET

DATA ·entryPoint(SB)/8, $·entry(SB)
GLOBL ·entryPoint(SB), NOPTR, $8
