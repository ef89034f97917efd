//go:build !purego

#include "textflag.h"

// func verticalAVX2(line *int16, src *byte, stride int, weights *int16, pairs, blocks int)
//
// A block of 32 samples is summed in four vectors of 8 sums each. Two rows a and b are
// widened to words and interleaved, so that one VPMADDWD gives wa*a + wb*b.
TEXT ·verticalAVX2(SB), NOSPLIT, $0-48
	MOVQ line+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ stride+16(FP), DX
	MOVQ weights+24(FP), R8
	MOVQ pairs+32(FP), R9
	MOVQ blocks+40(FP), R10
	MOVL $128, AX            // half of what the shift by 8 takes away
	MOVQ AX, X15
	VPBROADCASTD X15, Y15

verticalBlock:
	MOVQ    SI, AX
	MOVQ    R8, BX
	MOVQ    R9, CX
	VMOVDQA Y15, Y0
	VMOVDQA Y15, Y1
	VMOVDQA Y15, Y2
	VMOVDQA Y15, Y3

verticalPair:
	VPBROADCASTD (BX), Y4
	VPMOVZXBW    (AX), Y5
	VPMOVZXBW    (AX)(DX*1), Y6
	VPMOVZXBW    16(AX), Y7
	VPMOVZXBW    16(AX)(DX*1), Y8
	VPUNPCKLWD   Y6, Y5, Y9
	VPUNPCKHWD   Y6, Y5, Y10
	VPUNPCKLWD   Y8, Y7, Y11
	VPUNPCKHWD   Y8, Y7, Y12
	VPMADDWD     Y4, Y9, Y9
	VPMADDWD     Y4, Y10, Y10
	VPMADDWD     Y4, Y11, Y11
	VPMADDWD     Y4, Y12, Y12
	VPADDD       Y9, Y0, Y0
	VPADDD       Y10, Y1, Y1
	VPADDD       Y11, Y2, Y2
	VPADDD       Y12, Y3, Y3
	LEAQ         (AX)(DX*2), AX
	ADDQ         $4, BX
	DECQ         CX
	JNZ          verticalPair

	VPSRAD    $8, Y0, Y0
	VPSRAD    $8, Y1, Y1
	VPSRAD    $8, Y2, Y2
	VPSRAD    $8, Y3, Y3
	VPACKSSDW Y1, Y0, Y0
	VPACKSSDW Y3, Y2, Y2
	VMOVDQU   Y0, (DI)
	VMOVDQU   Y2, 32(DI)
	ADDQ      $32, SI
	ADDQ      $64, DI
	DECQ      R10
	JNZ       verticalBlock
	VZEROUPPER
	RET

// TAPS loads eight taps of two samples four apart, multiplies, and adds to the sums.
#define TAPS(low, high, offset, sums) \
	VMOVDQU     (low)(R15*1), X4; \
	VINSERTI128 $1, (high)(R15*1), Y4, Y4; \
	VPMADDWD    offset(R13), Y4, Y4; \
	VPADDD      Y4, sums, sums

// START points a register at the first tap of a sample.
#define START(offset, register) \
	MOVLQSX offset(DX), register; \
	LEAQ    (SI)(register*2), register

// func horizontalAVX2(dst *byte, line *int16, starts *int32, weights *int16, chunks, count int)
TEXT ·horizontalAVX2(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ line+8(FP), SI
	MOVQ starts+16(FP), DX
	MOVQ weights+24(FP), R13
	MOVQ chunks+32(FP), R14
	SHLQ $4, R14
	MOVL $524288, AX         // half of what the shift by 20 takes away
	MOVQ AX, X15
	VPBROADCASTD X15, Y15

horizontalGroup:
	START(0, AX)
	START(4, BX)
	START(8, CX)
	START(12, R8)
	START(16, R9)
	START(20, R10)
	START(24, R11)
	START(28, R12)
	VPXOR   Y0, Y0, Y0
	VPXOR   Y1, Y1, Y1
	VPXOR   Y2, Y2, Y2
	VPXOR   Y3, Y3, Y3
	XORL    R15, R15

horizontalChunk:
	TAPS(AX, R9, 0, Y0)
	TAPS(BX, R10, 32, Y1)
	TAPS(CX, R11, 64, Y2)
	TAPS(R8, R12, 96, Y3)
	ADDQ $128, R13
	ADDQ $16, R15
	CMPQ R15, R14
	JNE  horizontalChunk

	VPHADDD      Y1, Y0, Y0
	VPHADDD      Y3, Y2, Y2
	VPHADDD      Y2, Y0, Y0
	VPADDD       Y15, Y0, Y0
	VPSRAD       $20, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPACKSSDW    X1, X0, X0
	VPACKUSWB    X0, X0, X0
	VMOVQ        X0, (DI)
	ADDQ         $32, DX
	ADDQ         $8, DI
	DECQ         count+40(FP)
	JNZ          horizontalGroup
	VZEROUPPER
	RET
