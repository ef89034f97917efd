//go:build !purego

#include "textflag.h"

// Two neighbouring blocks at a time: a register holds a line (later a column) of both,
// eight 16-bit numbers in the lower half for the left block, eight in the upper half
// for the right one. No instruction crosses the halves until the results are stored.

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

// Pairs of factors for VPMADDWD, the second one above the first; fdct.go names them.
VECTOR(even2, 0x22a3539f)   //  C2,  C6
VECTOR(even6, 0xac6122a3)   //  C6, -C2
VECTOR(odd1a, 0x4b4258c5)   //  C1,  C3
VECTOR(odd1b, 0x11a83249)   //  C5,  C7
VECTOR(odd3a, 0xee584b42)   //  C3, -C7
VECTOR(odd3b, 0xcdb7a73b)   // -C1, -C5
VECTOR(odd5a, 0xa73b3249)   //  C5, -C1
VECTOR(odd5b, 0x4b4211a8)   //  C7,  C3
VECTOR(odd7a, 0xcdb711a8)   //  C7, -C5
VECTOR(odd7b, 0xa73b4b42)   //  C3, -C1
VECTOR(halfColumns, 0x0800) // 1 << 11
VECTOR(halfLines, 0x2000)   // 1 << 13
VECTOR(level, 0x10001000)   // 8*128 << 2, twice

// LOAD takes a line of 16 samples.
#define LOAD(from, y) VPMOVZXBW from, y

// BUTTERFLIES leaves the sums of Y0+Y7 … Y3+Y4 in Y8 … Y11, the differences in Y0 … Y3.
#define BUTTERFLIES \
	VPADDW Y7, Y0, Y8  \
	VPSUBW Y7, Y0, Y0  \
	VPADDW Y6, Y1, Y9  \
	VPSUBW Y6, Y1, Y1  \
	VPADDW Y5, Y2, Y10 \
	VPSUBW Y5, Y2, Y2  \
	VPADDW Y4, Y3, Y11 \
	VPSUBW Y4, Y3, Y3

// EVEN leaves frequencies 0, 4, 2 and 6 in Y12, Y13, Y14 and Y15; 0 and 4 are sums.
#define EVEN(half, shift) \
	VPADDW     Y11, Y8, Y4        \
	VPSUBW     Y11, Y8, Y8        \
	VPADDW     Y10, Y9, Y5        \
	VPSUBW     Y10, Y9, Y9        \
	VPADDW     Y5, Y4, Y12        \
	VPSUBW     Y5, Y4, Y13        \
	VPUNPCKLWD Y9, Y8, Y4         \
	VPUNPCKHWD Y9, Y8, Y5         \
	VPMADDWD   even2<>(SB), Y4, Y6 \
	VPMADDWD   even2<>(SB), Y5, Y7 \
	VPMADDWD   even6<>(SB), Y4, Y4 \
	VPMADDWD   even6<>(SB), Y5, Y5 \
	NARROW(Y6, Y7, Y14, half, shift) \
	NARROW(Y4, Y5, Y15, half, shift)

// NARROW rounds 32-bit numbers and joins them to 16-bit ones.
#define NARROW(low, high, out, half, shift) \
	VPADDD    half<>(SB), low, low   \
	VPADDD    half<>(SB), high, high \
	VPSRAD    $shift, low, low       \
	VPSRAD    $shift, high, high     \
	VPACKSSDW high, low, out

// ODD leaves frequencies 1, 3, 5 and 7 in Y0, Y1, Y2 and Y3.
#define ODD(half, shift) \
	VPUNPCKLWD Y1, Y0, Y4 \
	VPUNPCKHWD Y1, Y0, Y5 \
	VPUNPCKLWD Y3, Y2, Y6 \
	VPUNPCKHWD Y3, Y2, Y7 \
	FREQUENCY(odd1a, odd1b, Y0, half, shift) \
	FREQUENCY(odd3a, odd3b, Y1, half, shift) \
	FREQUENCY(odd5a, odd5b, Y2, half, shift) \
	FREQUENCY(odd7a, odd7b, Y3, half, shift)

#define FREQUENCY(first, second, out, half, shift) \
	VPMADDWD first<>(SB), Y4, Y8   \
	VPMADDWD second<>(SB), Y6, Y9  \
	VPMADDWD first<>(SB), Y5, Y10  \
	VPMADDWD second<>(SB), Y7, Y11 \
	VPADDD   Y9, Y8, Y8            \
	VPADDD   Y11, Y10, Y10         \
	NARROW(Y8, Y10, out, half, shift)

// TRANSPOSE turns frequencies 0 to 7 in Y12, Y0, Y14, Y1, Y13, Y2, Y15 and Y3 into
// columns in Y0 to Y7.
#define TRANSPOSE \
	VPUNPCKLWD  Y0, Y12, Y4   \
	VPUNPCKHWD  Y0, Y12, Y5   \
	VPUNPCKLWD  Y1, Y14, Y6   \
	VPUNPCKHWD  Y1, Y14, Y7   \
	VPUNPCKLWD  Y2, Y13, Y8   \
	VPUNPCKHWD  Y2, Y13, Y9   \
	VPUNPCKLWD  Y3, Y15, Y10  \
	VPUNPCKHWD  Y3, Y15, Y11  \
	VPUNPCKLDQ  Y6, Y4, Y12   \
	VPUNPCKHDQ  Y6, Y4, Y13   \
	VPUNPCKLDQ  Y7, Y5, Y14   \
	VPUNPCKHDQ  Y7, Y5, Y15   \
	VPUNPCKLDQ  Y10, Y8, Y0   \
	VPUNPCKHDQ  Y10, Y8, Y10  \
	VPUNPCKLDQ  Y11, Y9, Y8   \
	VPUNPCKHDQ  Y11, Y9, Y9   \
	VPUNPCKHQDQ Y0, Y12, Y1   \
	VPUNPCKLQDQ Y0, Y12, Y0   \
	VPUNPCKLQDQ Y10, Y13, Y2  \
	VPUNPCKHQDQ Y10, Y13, Y3  \
	VPUNPCKLQDQ Y8, Y14, Y4   \
	VPUNPCKHQDQ Y8, Y14, Y5   \
	VPUNPCKLQDQ Y9, Y15, Y6   \
	VPUNPCKHQDQ Y9, Y15, Y7

// QUANTISE divides the column of one horizontal frequency, 16 bytes of each of the
// quantiser's tables further for each, and stores it; y then says which are 0.
#define QUANTISE(y, x, at) \
	VPABSW         y, Y4                \
	VBROADCASTI128 at(R9), Y5           \
	VBROADCASTI128 (128+at)(R9), Y6     \
	VBROADCASTI128 (256+at)(R9), Y7     \
	VPADDW         Y5, Y4, Y4           \
	VPMULHUW       Y6, Y4, Y4           \
	VPMULHUW       Y7, Y4, Y4           \
	VPSIGNW        y, Y4, y             \
	VMOVDQU        x, at(DI)            \
	VEXTRACTI128   $1, y, (128+at)(DI)  \
	VPCMPEQW       Y11, y, y

// ZEROS leaves which of two columns' coefficients are 0 in r: 8 bits of each, those of
// the left block below those of the right one.
#define ZEROS(first, second, r) \
	VPACKSSWB second, first, first \
	VPMOVMSKB first, r

// func fdctAVX2(coefficients *int16, nonzero *uint64, src *byte, stride, pairs int, q *quantiser)
TEXT ·fdctAVX2(SB), NOSPLIT, $0-48
	MOVQ coefficients+0(FP), DI
	MOVQ nonzero+8(FP), R8
	MOVQ src+16(FP), SI
	MOVQ stride+24(FP), DX
	MOVQ pairs+32(FP), CX
	MOVQ q+40(FP), R9
	LEAQ (DX)(DX*2), R10    // 3 lines
	LEAQ (DX)(DX*4), R11    // 5 lines
	LEAQ (R10)(DX*4), R12   // 7 lines

pair:
	LOAD((SI), Y0)
	LOAD((SI)(DX*1), Y1)
	LOAD((SI)(DX*2), Y2)
	LOAD((SI)(R10*1), Y3)
	LOAD((SI)(DX*4), Y4)
	LOAD((SI)(R11*1), Y5)
	LOAD((SI)(R10*2), Y6)
	LOAD((SI)(R12*1), Y7)

	BUTTERFLIES
	EVEN(halfColumns, 12)
	VPSLLW $2, Y12, Y12
	VPSLLW $2, Y13, Y13
	VPSUBW level<>(SB), Y12, Y12 // samples are about 128
	ODD(halfColumns, 12)
	TRANSPOSE

	BUTTERFLIES
	EVEN(halfLines, 14)
	ODD(halfLines, 14)

	VPXOR Y11, Y11, Y11
	QUANTISE(Y12, X12, 0)
	QUANTISE(Y0, X0, 16)
	QUANTISE(Y14, X14, 32)
	QUANTISE(Y1, X1, 48)
	QUANTISE(Y13, X13, 64)
	QUANTISE(Y2, X2, 80)
	QUANTISE(Y15, X15, 96)
	QUANTISE(Y3, X3, 112)

	ZEROS(Y12, Y0, AX)
	ZEROS(Y14, Y1, BX)
	ZEROS(Y13, Y2, R13)
	ZEROS(Y15, Y3, R14)
	NOTL AX
	NOTL BX
	NOTL R13
	NOTL R14
	MOVW AX, (R8)
	MOVW BX, 2(R8)
	MOVW R13, 4(R8)
	MOVW R14, 6(R8)
	SHRL $16, AX
	SHRL $16, BX
	SHRL $16, R13
	SHRL $16, R14
	MOVW AX, 8(R8)
	MOVW BX, 10(R8)
	MOVW R13, 12(R8)
	MOVW R14, 14(R8)

	ADDQ $16, SI
	ADDQ $256, DI
	ADDQ $16, R8
	DECQ CX
	JNZ  pair
	VZEROUPPER
	RET
