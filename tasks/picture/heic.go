package picture

import (
	"context"
	"errors"
	"fmt"
	"image"
	"time"

	"golang.org/x/sync/semaphore"

	"casepress/tasks/picture/heif"
)

// maxHEIFPixels is the largest HEIC picture that is decoded: about four seconds.
const maxHEIFPixels = 25_000_000

// heifTime is the longest that decoding one may take: a hostile file ends there.
const heifTime = time.Minute

// heifTurn lets one HEIC picture be decoded at a time: each takes much memory.
var heifTurn = semaphore.NewWeighted(1)

// heic decodes the picture in the sandbox and goes on with its planes. What the file
// says of turning is done by the decoder.
func (j *job) heic() error {
	if err := heifTurn.Acquire(j.ctx, 1); err != nil {
		return fmt.Errorf("wait for the HEIC decoder: %w", context.Cause(j.ctx))
	}
	defer heifTurn.Release(1)
	head, err := j.bytes(maxHEIFBoxes)
	if err != nil {
		return err
	}
	info := heif.ReadInfo(head)
	j.header.profile = info.Profile
	release, err := j.reserve(j.heifCost(info.Depth))
	if err != nil {
		return err
	}
	defer release()
	return j.guard(func() error { return j.unpack(info) })
}

// maxHEIFBoxes is how far the properties of the picture are looked for.
const maxHEIFBoxes = 1 << 20

// heifMemory is what the sandbox is given: what photos need and half as much again.
func (j *job) heifMemory(depth int) int64 {
	pixel := int64(10)
	if depth > 8 {
		pixel = 16
	}
	const fixed = 16 << 20
	return min(j.size+pixel*int64(j.header.Width)*int64(j.header.Height)+fixed, heif.MaxMemory)
}

// heifCost counts the file, the sandbox, and the samples on their way out of it.
func (j *job) heifCost(depth int) int64 {
	const out = 3
	return j.size + j.heifMemory(depth) + out*int64(j.header.Width)*int64(j.header.Height) + j.finalCost()
}

func (j *job) unpack(info heif.Info) error {
	data, err := j.bytes(j.size)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(j.ctx, heifTime)
	defer cancel()
	img, err := heif.Decode(ctx, data, min(j.options.MaxPixels, maxHEIFPixels), j.heifMemory(info.Depth))
	if errors.Is(err, heif.ErrTooLarge) {
		return problem(CodeTooLarge, "The picture is larger than its header says; it is not decoded.")
	}
	if err != nil {
		return err
	}
	size := img.Bounds().Size()
	j.header.Width, j.header.Height = size.X, size.Y
	if m := planesOf(img, info.Limited); m != nil {
		return j.finish(m)
	}
	settled, err := settle(img, image.Rectangle{Max: size})
	if err != nil {
		return err
	}
	return j.draw(settled)
}
