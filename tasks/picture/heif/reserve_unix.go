//go:build unix && !noheif

package heif

import (
	"os"
	"syscall"
)

// reserve sets aside addresses, which take memory only where they are written to: a sandbox may
// grow in place, without copies, and what it had is the system's again at once.
func reserve(n int) ([]byte, error) {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	return b, os.NewSyscallError("mmap", err)
}

func unreserve(b []byte) { _ = syscall.Munmap(b) } // only fails for what Mmap did not give
