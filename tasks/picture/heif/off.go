//go:build noheif

package heif

import (
	"context"
	"image"
)

// Available says whether [Decode] can decode at all.
const Available = false

// MaxMemory is the most memory in bytes that a picture can be given.
const MaxMemory = 0

// Image is a decoded picture, of which there are none.
type Image struct{ image.Image }

// Close does nothing.
func (*Image) Close() {}

// Decode returns [ErrUnsupported].
func Decode(context.Context, []byte, Info, int64, int64) (*Image, error) {
	return nil, ErrUnsupported
}

// DecodeAlpha returns [ErrUnsupported].
func DecodeAlpha(context.Context, []byte, Info, int64, int64) (*image.Gray, error) {
	return nil, ErrUnsupported
}
