//go:build !purego

#include "textflag.h"

// A register holds eight 32-bit numbers: of an 8x8 block the coefficients of one
// horizontal frequency, after the first pass a row of samples to be; of a 6x6 block the
// same, what follows it in memory making up the last two; of two 4x4 blocks the same, one
// in each half. idct.go and its neighbours say what is computed and name the factors.

// A constant that fills a register.
#define VECTOR(name, dword) \
	DATA name<>+0x00(SB)/4, $dword \
	DATA name<>+0x04(SB)/4, $dword \
	DATA name<>+0x08(SB)/4, $dword \
	DATA name<>+0x0c(SB)/4, $dword \
	DATA name<>+0x10(SB)/4, $dword \
	DATA name<>+0x14(SB)/4, $dword \
	DATA name<>+0x18(SB)/4, $dword \
	DATA name<>+0x1c(SB)/4, $dword \
	GLOBL name<>(SB), RODATA|NOPTR, $32

VECTOR(f0298, 0x0000098e)
VECTOR(f0366, 0x00000bb6)
VECTOR(f0390, 0x00000c7c)
VECTOR(f0541, 0x00001151)
VECTOR(f0707, 0x000016a1)
VECTOR(f0765, 0x0000187e)
VECTOR(f0899, 0x00001ccd)
VECTOR(f1175, 0x000025a1)
VECTOR(f1225, 0x00002731)
VECTOR(f1501, 0x0000300b)
VECTOR(f1847, 0x00003b21)
VECTOR(f1961, 0x00003ec5)
VECTOR(f2053, 0x000041b3)
VECTOR(f2562, 0x00005203)
VECTOR(f3072, 0x00006254)
VECTOR(firstRound, 0x00000400)
VECTOR(secondRound, 0x00020000)
VECTOR(mostDC, 0x00007fff)
VECTOR(leastDC, 0xffff8000)
VECTOR(middle, 0x00800080)

// The order that puts together what packing leaves in both halves.
DATA woven<>+0x00(SB)/4, $0
DATA woven<>+0x04(SB)/4, $4
DATA woven<>+0x08(SB)/4, $1
DATA woven<>+0x0c(SB)/4, $5
DATA woven<>+0x10(SB)/4, $2
DATA woven<>+0x14(SB)/4, $6
DATA woven<>+0x18(SB)/4, $3
DATA woven<>+0x1c(SB)/4, $7
GLOBL woven<>(SB), RODATA|NOPTR, $32

// PASS8 transforms Y0 … Y7: even frequencies first, leaving e in Y0, Y2, Y4 and Y6, then
// odd ones, o in Y1, Y3, Y5 and Y7.
#define PASS8(round, down) \
	VPADDD  Y6, Y2, Y8 \
	VPMULLD f0541<>(SB), Y8, Y8 \
	VPMULLD f1847<>(SB), Y6, Y9 \
	VPSUBD  Y9, Y8, Y9 \
	VPMULLD f0765<>(SB), Y2, Y10 \
	VPADDD  Y10, Y8, Y10 \
	VPADDD  Y4, Y0, Y11 \
	VPSUBD  Y4, Y0, Y12 \
	VPSLLD  $13, Y11, Y11 \
	VPSLLD  $13, Y12, Y12 \
	VPADDD  round<>(SB), Y11, Y11 \
	VPADDD  round<>(SB), Y12, Y12 \
	VPADDD  Y10, Y11, Y0 \
	VPSUBD  Y10, Y11, Y6 \
	VPADDD  Y9, Y12, Y2 \
	VPSUBD  Y9, Y12, Y4 \
	VPADDD  Y3, Y7, Y8 \
	VPADDD  Y1, Y5, Y9 \
	VPADDD  Y9, Y8, Y10 \
	VPMULLD f1175<>(SB), Y10, Y10 \
	VPMULLD f1961<>(SB), Y8, Y8 \
	VPSUBD  Y8, Y10, Y8 \
	VPMULLD f0390<>(SB), Y9, Y9 \
	VPSUBD  Y9, Y10, Y9 \
	VPADDD  Y1, Y7, Y11 \
	VPMULLD f0899<>(SB), Y11, Y11 \
	VPADDD  Y3, Y5, Y12 \
	VPMULLD f2562<>(SB), Y12, Y12 \
	VPSUBD  Y11, Y9, Y13 \
	VPSUBD  Y12, Y8, Y14 \
	VPSUBD  Y12, Y9, Y15 \
	VPSUBD  Y11, Y8, Y12 \
	VPMULLD f1501<>(SB), Y1, Y1 \
	VPADDD  Y13, Y1, Y1 \
	VPMULLD f3072<>(SB), Y3, Y3 \
	VPADDD  Y14, Y3, Y3 \
	VPMULLD f2053<>(SB), Y5, Y5 \
	VPADDD  Y15, Y5, Y5 \
	VPMULLD f0298<>(SB), Y7, Y7 \
	VPADDD  Y12, Y7, Y7 \
	VPSUBD  Y1, Y0, Y8 \
	VPADDD  Y1, Y0, Y0 \
	VPSUBD  Y3, Y2, Y9 \
	VPADDD  Y3, Y2, Y1 \
	VPSUBD  Y5, Y4, Y10 \
	VPADDD  Y5, Y4, Y2 \
	VPSUBD  Y7, Y6, Y11 \
	VPADDD  Y7, Y6, Y3 \
	VPSRAD  $down, Y0, Y0 \
	VPSRAD  $down, Y1, Y1 \
	VPSRAD  $down, Y2, Y2 \
	VPSRAD  $down, Y3, Y3 \
	VPSRAD  $down, Y11, Y4 \
	VPSRAD  $down, Y10, Y5 \
	VPSRAD  $down, Y9, Y6 \
	VPSRAD  $down, Y8, Y7

// TRANSPOSE8 turns the rows in Y0 … Y7 to columns.
#define TRANSPOSE8 \
	VPUNPCKLDQ Y1, Y0, Y8 \
	VPUNPCKHDQ Y1, Y0, Y9 \
	VPUNPCKLDQ Y3, Y2, Y10 \
	VPUNPCKHDQ Y3, Y2, Y11 \
	VPUNPCKLDQ Y5, Y4, Y12 \
	VPUNPCKHDQ Y5, Y4, Y13 \
	VPUNPCKLDQ Y7, Y6, Y14 \
	VPUNPCKHDQ Y7, Y6, Y15 \
	VPUNPCKLQDQ Y10, Y8, Y0 \
	VPUNPCKHQDQ Y10, Y8, Y1 \
	VPUNPCKLQDQ Y11, Y9, Y2 \
	VPUNPCKHQDQ Y11, Y9, Y3 \
	VPUNPCKLQDQ Y14, Y12, Y4 \
	VPUNPCKHQDQ Y14, Y12, Y5 \
	VPUNPCKLQDQ Y15, Y13, Y6 \
	VPUNPCKHQDQ Y15, Y13, Y7 \
	VPERM2I128 $0x20, Y4, Y0, Y8 \
	VPERM2I128 $0x31, Y4, Y0, Y4 \
	VPERM2I128 $0x20, Y5, Y1, Y9 \
	VPERM2I128 $0x31, Y5, Y1, Y5 \
	VPERM2I128 $0x20, Y6, Y2, Y10 \
	VPERM2I128 $0x31, Y6, Y2, Y6 \
	VPERM2I128 $0x20, Y7, Y3, Y11 \
	VPERM2I128 $0x31, Y7, Y3, Y7 \
	VMOVDQA Y8, Y0 \
	VMOVDQA Y9, Y1 \
	VMOVDQA Y10, Y2 \
	VMOVDQA Y11, Y3

// FOUR_ROWS stores rows of eight samples from a … d, x being the low half of a.
#define FOUR_ROWS(a, b, c, d, x) \
	VPACKSSDW b, a, a \
	VPACKSSDW d, c, c \
	VPADDW    middle<>(SB), a, a \
	VPADDW    middle<>(SB), c, c \
	VPACKUSWB c, a, a \
	VMOVDQU   woven<>(SB), c \
	VPERMD    a, c, a \
	VMOVQ     x, (DI) \
	VMOVHPS   x, (DI)(BX*1) \
	VEXTRACTI128 $1, a, x \
	VMOVQ     x, (DI)(BX*2) \
	VMOVHPS   x, (DI)(R8*1)

// func inverse8AVX2(dst *byte, stride int, coefficients *int16, n int, q *[64]int32)
TEXT ·inverse8AVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DX
	MOVQ stride+8(FP), BX
	MOVQ coefficients+16(FP), SI
	MOVQ n+24(FP), CX
	MOVQ q+32(FP), R9
	LEAQ (BX)(BX*2), R8 // three rows

next8:
	VPMOVSXWD 0(SI), Y0
	VPMULLD   0(R9), Y0, Y0
	VPMOVSXWD 16(SI), Y1
	VPMULLD   32(R9), Y1, Y1
	VPMOVSXWD 32(SI), Y2
	VPMULLD   64(R9), Y2, Y2
	VPMOVSXWD 48(SI), Y3
	VPMULLD   96(R9), Y3, Y3
	VPMOVSXWD 64(SI), Y4
	VPMULLD   128(R9), Y4, Y4
	VPMOVSXWD 80(SI), Y5
	VPMULLD   160(R9), Y5, Y5
	VPMOVSXWD 96(SI), Y6
	VPMULLD   192(R9), Y6, Y6
	VPMOVSXWD 112(SI), Y7
	VPMULLD   224(R9), Y7, Y7
	VPMINSD   mostDC<>(SB), Y0, Y0
	VPMAXSD   leastDC<>(SB), Y0, Y0
	PASS8(firstRound, 11)
	TRANSPOSE8
	PASS8(secondRound, 18)
	MOVQ      DX, DI
	FOUR_ROWS(Y0, Y1, Y2, Y3, X0)
	LEAQ      (DI)(BX*4), DI
	FOUR_ROWS(Y4, Y5, Y6, Y7, X4)
	ADDQ      $128, SI
	ADDQ      $8, DX
	DECQ      CX
	JNZ       next8
	VZEROUPPER
	RET

// PASS6 transforms Y0 … Y5: e ends in Y12, Y11 and Y13, o in Y15, Y14 and Y5.
#define PASS6(round, down) \
	VPADDD  Y5, Y1, Y6 \
	VPMULLD f0366<>(SB), Y6, Y6 \
	VPMULLD f0707<>(SB), Y4, Y7 \
	VPMULLD f1225<>(SB), Y2, Y8 \
	VPSLLD  $13, Y0, Y9 \
	VPADDD  round<>(SB), Y9, Y9 \
	VPADDD  Y7, Y9, Y10 \
	VPADDD  Y7, Y7, Y7 \
	VPSUBD  Y7, Y9, Y11 \
	VPADDD  Y8, Y10, Y12 \
	VPSUBD  Y8, Y10, Y13 \
	VPADDD  Y3, Y5, Y14 \
	VPSUBD  Y14, Y1, Y14 \
	VPSLLD  $13, Y14, Y14 \
	VPADDD  Y3, Y1, Y15 \
	VPSLLD  $13, Y15, Y15 \
	VPADDD  Y6, Y15, Y15 \
	VPSUBD  Y3, Y5, Y5 \
	VPSLLD  $13, Y5, Y5 \
	VPADDD  Y6, Y5, Y5 \
	VPADDD  Y15, Y12, Y0 \
	VPSUBD  Y15, Y12, Y12 \
	VPADDD  Y14, Y11, Y1 \
	VPSUBD  Y14, Y11, Y11 \
	VPADDD  Y5, Y13, Y2 \
	VPSUBD  Y5, Y13, Y3 \
	VPSRAD  $down, Y0, Y0 \
	VPSRAD  $down, Y1, Y1 \
	VPSRAD  $down, Y2, Y2 \
	VPSRAD  $down, Y3, Y3 \
	VPSRAD  $down, Y11, Y4 \
	VPSRAD  $down, Y12, Y5

// TRANSPOSE6 turns the rows in Y0 … Y5 to columns, of which the last two numbers are
// neither's.
#define TRANSPOSE6 \
	VPUNPCKLDQ  Y1, Y0, Y6 \
	VPUNPCKHDQ  Y1, Y0, Y7 \
	VPUNPCKLDQ  Y3, Y2, Y8 \
	VPUNPCKHDQ  Y3, Y2, Y9 \
	VPUNPCKLDQ  Y5, Y4, Y10 \
	VPUNPCKHDQ  Y5, Y4, Y11 \
	VPUNPCKLQDQ Y8, Y6, Y12 \
	VPUNPCKHQDQ Y8, Y6, Y13 \
	VPUNPCKLQDQ Y9, Y7, Y14 \
	VPUNPCKHQDQ Y9, Y7, Y15 \
	VPUNPCKHQDQ Y10, Y10, Y8 \
	VPUNPCKHQDQ Y11, Y11, Y9 \
	VINSERTI128 $1, X10, Y12, Y0 \
	VINSERTI128 $1, X8, Y13, Y1 \
	VINSERTI128 $1, X11, Y14, Y2 \
	VINSERTI128 $1, X9, Y15, Y3 \
	VPERM2I128  $0x31, Y10, Y12, Y4 \
	VPERM2I128  $0x31, Y8, Y13, Y5

// func inverse6AVX2(dst *byte, stride int, coefficients *int16, n int, q *[64]int32)
TEXT ·inverse6AVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ stride+8(FP), BX
	MOVQ coefficients+16(FP), SI
	MOVQ n+24(FP), CX
	MOVQ q+32(FP), R9
	LEAQ (BX)(BX*2), R8  // three rows
	LEAQ (BX)(BX*4), R10 // five

next6:
	VPMOVSXWD 0(SI), Y0
	VPMULLD   0(R9), Y0, Y0
	VPMOVSXWD 12(SI), Y1
	VPMULLD   24(R9), Y1, Y1
	VPMOVSXWD 24(SI), Y2
	VPMULLD   48(R9), Y2, Y2
	VPMOVSXWD 36(SI), Y3
	VPMULLD   72(R9), Y3, Y3
	VPMOVSXWD 48(SI), Y4
	VPMULLD   96(R9), Y4, Y4
	VPMOVSXWD 60(SI), Y5
	VPMULLD   120(R9), Y5, Y5
	VPMINSD   mostDC<>(SB), Y0, Y0
	VPMAXSD   leastDC<>(SB), Y0, Y0
	PASS6(firstRound, 11)
	TRANSPOSE6
	PASS6(secondRound, 18)
	FOUR_ROWS(Y0, Y1, Y2, Y3, X0)
	VPACKSSDW Y5, Y4, Y4
	VPADDW    middle<>(SB), Y4, Y4
	VPACKUSWB Y4, Y4, Y4
	VMOVDQU   woven<>(SB), Y2
	VPERMD    Y4, Y2, Y4
	VMOVQ     X4, (DI)(BX*4)
	VMOVHPS   X4, (DI)(R10*1)
	ADDQ      $72, SI
	ADDQ      $6, DI
	DECQ      CX
	JNZ       next6
	VZEROUPPER
	RET

// PASS4 transforms Y0 … Y3.
#define PASS4(round, down) \
	VPADDD  Y3, Y1, Y4 \
	VPMULLD f0541<>(SB), Y4, Y4 \
	VPMULLD f0765<>(SB), Y1, Y5 \
	VPADDD  Y5, Y4, Y5 \
	VPMULLD f1847<>(SB), Y3, Y6 \
	VPSUBD  Y6, Y4, Y6 \
	VPADDD  Y2, Y0, Y7 \
	VPSUBD  Y2, Y0, Y8 \
	VPSLLD  $13, Y7, Y7 \
	VPSLLD  $13, Y8, Y8 \
	VPADDD  round<>(SB), Y7, Y7 \
	VPADDD  round<>(SB), Y8, Y8 \
	VPADDD  Y5, Y7, Y0 \
	VPSUBD  Y5, Y7, Y3 \
	VPADDD  Y6, Y8, Y1 \
	VPSUBD  Y6, Y8, Y2 \
	VPSRAD  $down, Y0, Y0 \
	VPSRAD  $down, Y1, Y1 \
	VPSRAD  $down, Y2, Y2 \
	VPSRAD  $down, Y3, Y3

// TRANSPOSE4 turns the rows in Y0 … Y3 to columns, in each half for itself.
#define TRANSPOSE4 \
	VPUNPCKLDQ  Y1, Y0, Y4 \
	VPUNPCKHDQ  Y1, Y0, Y5 \
	VPUNPCKLDQ  Y3, Y2, Y6 \
	VPUNPCKHDQ  Y3, Y2, Y7 \
	VPUNPCKLQDQ Y6, Y4, Y0 \
	VPUNPCKHQDQ Y6, Y4, Y1 \
	VPUNPCKLQDQ Y7, Y5, Y2 \
	VPUNPCKHQDQ Y7, Y5, Y3

// func inverse4AVX2(dst *byte, stride int, coefficients *int16, pairs int, q *[64]int32)
TEXT ·inverse4AVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ stride+8(FP), BX
	MOVQ coefficients+16(FP), SI
	MOVQ pairs+24(FP), CX
	MOVQ q+32(FP), R9
	LEAQ (BX)(BX*2), R8 // three rows
	VMOVDQU (R9), Y14
	VMOVDQU 32(R9), Y15

next4:
	VPMOVSXWD  (SI), Y4
	VPMOVSXWD  16(SI), Y5
	VPMOVSXWD  32(SI), Y6
	VPMOVSXWD  48(SI), Y7
	VPMULLD    Y14, Y4, Y4
	VPMULLD    Y15, Y5, Y5
	VPMULLD    Y14, Y6, Y6
	VPMULLD    Y15, Y7, Y7
	VPERM2I128 $0x20, Y6, Y4, Y0
	VPERM2I128 $0x31, Y6, Y4, Y1
	VPERM2I128 $0x20, Y7, Y5, Y2
	VPERM2I128 $0x31, Y7, Y5, Y3
	VPMINSD    mostDC<>(SB), Y0, Y0
	VPMAXSD    leastDC<>(SB), Y0, Y0
	PASS4(firstRound, 11)
	TRANSPOSE4
	PASS4(secondRound, 18)
	FOUR_ROWS(Y0, Y1, Y2, Y3, X0)
	ADDQ       $64, SI
	ADDQ       $8, DI
	DECQ       CX
	JNZ        next4
	VZEROUPPER
	RET
