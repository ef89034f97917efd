//go:build noheif

package heif

import (
	"context"
	"image"
)

// Available says whether [Decode] can decode at all.
const Available = false

// Decode returns [ErrUnsupported].
func Decode(context.Context, []byte, int64) (image.Image, error) { return nil, ErrUnsupported }
