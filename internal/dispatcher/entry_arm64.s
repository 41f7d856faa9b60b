#include "textflag.h"

// entry: the kernel's initial stack is at RSP; 256 bytes under it stay free (see entry_amd64.s).
TEXT ·entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVD RSP, R0
	SUB $320, R0, R1
	AND $~15, R1, R1
	MOVD R1, RSP
	MOVD ZR, g
	MOVD R0, 8(RSP)
	MOVD R0, 32(RSP)
	BL ·start(SB)
	// Not started by binfmt_misc: be the ordinary program.
	MOVD 32(RSP), R0
	MOVD R0, RSP
	JMP _rt0_arm64_linux(SB)

// func syscall6(nr, a, b, c, d, e, f uintptr) uintptr
TEXT ·syscall6(SB),NOSPLIT,$0-64
	MOVD nr+0(FP), R8
	MOVD a+8(FP), R0
	MOVD b+16(FP), R1
	MOVD c+24(FP), R2
	MOVD d+32(FP), R3
	MOVD e+40(FP), R4
	MOVD f+48(FP), R5
	SVC
	MOVD R0, ret+56(FP)
	RET

DATA ·entryPoint(SB)/8, $·entry(SB)
GLOBL ·entryPoint(SB), NOPTR, $8
