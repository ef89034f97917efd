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

// Decode returns [ErrUnsupported].
func Decode(context.Context, []byte, int64, int64) (image.Image, error) { return nil, ErrUnsupported }
