//go:build !purego

#include "textflag.h"

// A pixel is a vector of four numbers: red, green, blue, transparency.
//
// CONSTANTS: Y12 zeros, Y13 ones, Y14 halves, Y15 the bound of what is rounded, 255.5. The smaller
// of that and what is no number is what is no number, which becomes 0 in the end.
#define CONSTANTS \
	VXORPD       Y12, Y12, Y12; \
	MOVQ         $0x3ff0000000000000, AX; \
	MOVQ         AX, X13; \
	VBROADCASTSD X13, Y13; \
	MOVQ         $0x3fe0000000000000, AX; \
	MOVQ         AX, X14; \
	VBROADCASTSD X14, Y14; \
	MOVQ         $0x406ff00000000000, AX; \
	MOVQ         AX, X15; \
	VBROADCASTSD X15, Y15

// ROUND makes four 32-bit integers of a vector.
#define ROUND(y, x) \
	VADDPD      Y14, y, y; \
	VMINPD      y, Y15, y; \
	VCVTTPD2DQY y, x

// MIXED divides colours by the sum of their transparency and rounds, or gives zeros if that is 0.
#define MIXED(y, x) \
	VPERMPD     $0xff, y, Y10; \
	VDIVPD      Y10, Y13, Y11; \
	VBLENDPD    $8, Y13, Y11, Y11; \
	VMULPD      Y11, y, y; \
	VADDPD      Y14, y, y; \
	VMINPD      y, Y15, y; \
	VCMPPD      $0, Y12, Y10, Y10; \
	VANDNPD     y, Y10, y; \
	VCVTTPD2DQY y, x

// func floatsAVX2(dst *float64, row *byte, blocks int)
TEXT ·floatsAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ row+8(FP), SI
	MOVQ blocks+16(FP), CX

floatsBlock:
	VPMOVZXBD (SI), X0
	VPMOVZXBD 4(SI), X1
	VPMOVZXBD 8(SI), X2
	VPMOVZXBD 12(SI), X3
	VCVTDQ2PD X0, Y0
	VCVTDQ2PD X1, Y1
	VCVTDQ2PD X2, Y2
	VCVTDQ2PD X3, Y3
	VMOVUPD   Y0, (DI)
	VMOVUPD   Y1, 32(DI)
	VMOVUPD   Y2, 64(DI)
	VMOVUPD   Y3, 96(DI)
	ADDQ      $16, SI
	ADDQ      $128, DI
	DECQ      CX
	JNZ       floatsBlock
	VZEROUPPER
	RET

// func acrossAVX2(dst *byte, line *float64, starts *int32, weights *float64, taps, n int)
TEXT ·acrossAVX2(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ line+8(FP), SI
	MOVQ starts+16(FP), DX
	MOVQ weights+24(FP), R8
	MOVQ taps+32(FP), R9
	MOVQ n+40(FP), R10
	CONSTANTS

acrossPixel:
	MOVLQSX (DX), AX
	SHLQ    $5, AX
	ADDQ    SI, AX
	MOVQ    R9, CX
	VXORPD  Y0, Y0, Y0

acrossTap:
	VBROADCASTSD (R8), Y1
	VBROADCASTSD 24(AX), Y2
	VMULPD       Y1, Y2, Y2
	VBLENDPD     $7, (AX), Y13, Y3
	VMULPD       Y2, Y3, Y3
	VADDPD       Y3, Y0, Y0
	ADDQ         $8, R8
	ADDQ         $32, AX
	DECQ         CX
	JNZ          acrossTap

	MIXED(Y0, X0)
	VPACKUSDW X0, X0, X0
	VPACKUSWB X0, X0, X0
	VMOVD     X0, (DI)
	ADDQ      $4, DX
	ADDQ      $4, DI
	DECQ      R10
	JNZ       acrossPixel
	VZEROUPPER
	RET

// func acrossOpaqueAVX2(dst *byte, line *float64, starts *int32, weights, inverses *float64, taps, n int)
TEXT ·acrossOpaqueAVX2(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ line+8(FP), SI
	MOVQ starts+16(FP), DX
	MOVQ weights+24(FP), R8
	MOVQ inverses+32(FP), R11
	MOVQ taps+40(FP), R9
	MOVQ n+48(FP), R10
	CONSTANTS

acrossOpaquePixel:
	MOVLQSX (DX), AX
	SHLQ    $5, AX
	ADDQ    SI, AX
	MOVQ    R9, CX
	VXORPD  Y0, Y0, Y0

acrossOpaqueTap:
	VBROADCASTSD (R8), Y1
	VMULPD       (AX), Y1, Y1
	VADDPD       Y1, Y0, Y0
	ADDQ         $8, R8
	ADDQ         $32, AX
	DECQ         CX
	JNZ          acrossOpaqueTap

	VBROADCASTSD (R11), Y1
	VMULPD       Y1, Y0, Y0
	ROUND(Y0, X0)
	VPACKUSDW X0, X0, X0
	VPACKUSWB X0, X0, X0
	VMOVD     X0, AX
	ORL       $0xff000000, AX
	MOVL      AX, (DI)
	ADDQ      $4, DX
	ADDQ      $4, DI
	ADDQ      $8, R11
	DECQ      R10
	JNZ       acrossOpaquePixel
	VZEROUPPER
	RET

// PIXEL reads a pixel.
#define PIXEL(offset, x, y) \
	VPMOVZXBD offset(AX), x; \
	VCVTDQ2PD x, y

// TAP adds a pixel, weighted by Y4 and its own transparency.
#define TAP(offset, sum) \
	PIXEL(offset, X5, Y5); \
	VPERMPD  $0xff, Y5, Y6; \
	VMULPD   Y4, Y6, Y6; \
	VBLENDPD $8, Y13, Y5, Y5; \
	VMULPD   Y6, Y5, Y5; \
	VADDPD   Y5, sum, sum

// TAPOPAQUE adds a pixel, weighted by Y4.
#define TAPOPAQUE(offset, sum) \
	PIXEL(offset, X5, Y5); \
	VMULPD Y4, Y5, Y5; \
	VADDPD Y5, sum, sum

// func downAVX2(dst, rows *byte, weights *float64, stride, taps, blocks int)
TEXT ·downAVX2(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ rows+8(FP), SI
	MOVQ weights+16(FP), R8
	MOVQ stride+24(FP), DX
	MOVQ taps+32(FP), R9
	MOVQ blocks+40(FP), R10
	CONSTANTS

downBlock:
	MOVQ   SI, AX
	MOVQ   R8, BX
	MOVQ   R9, CX
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1
	VXORPD Y2, Y2, Y2
	VXORPD Y3, Y3, Y3

downTap:
	VBROADCASTSD (BX), Y4
	TAP(0, Y0)
	TAP(4, Y1)
	TAP(8, Y2)
	TAP(12, Y3)
	ADDQ DX, AX
	ADDQ $8, BX
	DECQ CX
	JNZ  downTap

	MIXED(Y0, X0)
	MIXED(Y1, X1)
	MIXED(Y2, X2)
	MIXED(Y3, X3)
	VPACKUSDW X1, X0, X0
	VPACKUSDW X3, X2, X2
	VPACKUSWB X2, X0, X0
	VMOVDQU   X0, (DI)
	ADDQ      $16, SI
	ADDQ      $16, DI
	DECQ      R10
	JNZ       downBlock
	VZEROUPPER
	RET

// func downOpaqueAVX2(dst, rows *byte, weights *float64, stride, taps, blocks int, inverse float64)
TEXT ·downOpaqueAVX2(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ rows+8(FP), SI
	MOVQ weights+16(FP), R8
	MOVQ stride+24(FP), DX
	MOVQ taps+32(FP), R9
	MOVQ blocks+40(FP), R10
	CONSTANTS
	VBROADCASTSD inverse+48(FP), Y10
	MOVL         $0xff000000, AX
	MOVQ         AX, X11
	VPBROADCASTD X11, X11

downOpaqueBlock:
	MOVQ   SI, AX
	MOVQ   R8, BX
	MOVQ   R9, CX
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1
	VXORPD Y2, Y2, Y2
	VXORPD Y3, Y3, Y3

downOpaqueTap:
	VBROADCASTSD (BX), Y4
	TAPOPAQUE(0, Y0)
	TAPOPAQUE(4, Y1)
	TAPOPAQUE(8, Y2)
	TAPOPAQUE(12, Y3)
	ADDQ DX, AX
	ADDQ $8, BX
	DECQ CX
	JNZ  downOpaqueTap

	VMULPD    Y10, Y0, Y0
	VMULPD    Y10, Y1, Y1
	VMULPD    Y10, Y2, Y2
	VMULPD    Y10, Y3, Y3
	ROUND(Y0, X0)
	ROUND(Y1, X1)
	ROUND(Y2, X2)
	ROUND(Y3, X3)
	VPACKUSDW X1, X0, X0
	VPACKUSDW X3, X2, X2
	VPACKUSWB X2, X0, X0
	VPOR      X11, X0, X0
	VMOVDQU   X0, (DI)
	ADDQ      $16, SI
	ADDQ      $16, DI
	DECQ      R10
	JNZ       downOpaqueBlock
	VZEROUPPER
	RET
