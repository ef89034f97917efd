//go:build !unix && !noheif

package heif

func reserve(n int) ([]byte, error) { return make([]byte, n), nil }

func unreserve([]byte) {}
