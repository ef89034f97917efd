// Package jpeg implements the JPEG codec of the picture path: it reads a photo straight to
// planes of brightness and colour, at full size or at 1, 2, 4 or 6 eighths of it, writes
// planes as JPEG, and strips a file of its metadata. It never turns planes into RGB, and
// never trusts a file: what a header claims is told by [ReadHeader] before anything is
// set aside for it, and what is broken is salvaged or refused, never a panic.
//
// A file is a row of segments (ITU-T T.81, annex B):
//
//	SOI | APPn … | DQT … | SOFn | DHT … | [DRI] | SOS, entropy-coded data | [DHT | SOS, data] … | EOI
//
//	segment      = FF marker(1) length(2, counts itself) payload
//	SOF          = precision(1) height(2) width(2) n(1) n x { id(1) h(4 bits) v(4 bits) quantisation table(1) }
//	SOS          = n(1) n x { id(1) DC table(4 bits) AC table(4 bits) } Ss(1) Se(1) Ah(4 bits) Al(4 bits)
//	entropy data = Huffman codes, each followed by the bits of its value; FF is written FF 00;
//	               every DRI MCUs a restart marker FF D0 … FF D7 in turn
//
// # Decoding
//
// An MCU is h x v blocks of every component of a scan. A block is 64 coefficients of an
// 8x8 cosine transform in zigzag order, the first (DC) as the difference from that of
// the block before. A row of MCUs is decoded to coefficients, then turned into samples.
//
// For a picture at N/8 of its size only the coefficients of the N x N lowest frequencies
// matter: they, times N/8, are the N x N transform of the block reduced, an ideal low-pass
// within the block. The rest are stepped over, several codes in one look-up. As blocks are
// cut each for itself, that is not what a resize of the whole picture would give: hence
// [Header.Eighths] leaves the resize something to do.
//
// The 8x8 inverse transform is that of Loeffler, Ligtenberg and Moschytz, "Practical
// fast 1-D DCT algorithms with 11 multiplications" (ICASSP 1989), in 13-bit fixed
// point; the 4x4 one is its even half, and the 6x6 one splits six into threes likewise.
// Progressive files (T.81 annex G) keep their coefficients until the last scan, only those
// that matter, and one bit for each of the others, as refining scans need to know which are
// not zero.
package jpeg
