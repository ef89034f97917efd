package picture

import (
	"context"
	"errors"
	"image"
	"io"

	"casepress/tasks/picture/planar"
)

type iccProfile struct{}

func (iccProfile) SRGB() bool                                       { return true }
func (iccProfile) Convert(context.Context, *planar.Image) error     { return nil }
func (iccProfile) ConvertNRGBA(context.Context, *image.NRGBA) error { return nil }
func iccParse([]byte) (*iccProfile, error)                          { return nil, errors.New("not yet") }
func jpegStrip([]byte) ([]byte, error)                              { return nil, errors.New("not yet") }

type metadataSummary struct {
	Tags       []string
	CapturedAt string
}

func metadataRead(*io.SectionReader, string) metadataSummary { return metadataSummary{} }
