package disk

import "unsafe"

// BlockBytes is what offset, length and address in memory of each read and write of a file opened with [Direct] must
// be a multiple of. No disk that is sold needs more, and most need 512.
const BlockBytes = 4096

// Aligned returns n zero bytes whose address in memory is a multiple of [BlockBytes]. A slice that append has moved is
// no longer aligned.
func Aligned(n int) []byte {
	b := make([]byte, n) // aligned already if it is large
	if IsAligned(b) {
		return b
	}
	b = make([]byte, n+BlockBytes)
	skip := BlockBytes - int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))%BlockBytes)
	return b[skip : skip+n : skip+n]
}

// IsAligned says whether the address of b in memory is a multiple of [BlockBytes].
func IsAligned(b []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))%BlockBytes == 0
}
