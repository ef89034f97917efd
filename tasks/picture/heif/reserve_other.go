//go:build !unix && !noheif

package heif

func reserve(n int) []byte { return make([]byte, n) }

func unreserve([]byte) {}
