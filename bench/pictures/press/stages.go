package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"casepress/bench/pictures/stopwatch"
	"casepress/tasks/picture/container"
	"casepress/tasks/picture/icc"
	"casepress/tasks/picture/jpeg"
	"casepress/tasks/picture/metadata"
	"casepress/tasks/picture/planar"
)

// stages N IN: the steps of one photo, each N times over, its processor time in milliseconds by name. Between two
// steps the planes stay in the processor's caches as far as they fit, as they do in [picture.Process].
func stages(ctx context.Context, args []string) (any, error) {
	_, files, n, err := split(args, 1)
	if err != nil || len(files) != 1 {
		return nil, errors.New("stages N IN")
	}
	s := steps{ctx: ctx, name: files[0], told: map[string]float64{}}
	for range n + 1 {
		if err := s.once(); err != nil {
			return nil, err
		}
	}
	return s.told, nil
}

// The steps, in their order.
const (
	stepRead, stepDecode, stepResize, stepColours = "1 read", "2 decode", "3 resize", "4 colours"
	stepTurn, stepEncode, stepThumb               = "5 turn", "6 encode", "7 thumbnail"
)

type steps struct {
	ctx  context.Context
	name string
	told map[string]float64 // least of each step
}

// step times one step.
func (s *steps) step(name string, do func() error) error {
	before := stopwatch.ProcessorTime()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	spent := stopwatch.Milliseconds(stopwatch.ProcessorTime() - before)
	if old, ok := s.told[name]; !ok || spent < old {
		s.told[name] = spent
	}
	return nil
}

func (s *steps) once() error {
	var data []byte
	var head jpeg.Header
	var m *planar.Image
	err := s.step(stepRead, func() (err error) {
		if data, err = os.ReadFile(s.name); err == nil {
			head, err = jpeg.ReadHeader(container.Memory(data))
		}
		return err
	})
	if err != nil {
		return err
	}
	err = s.step(stepDecode, func() (err error) {
		m, _, err = jpeg.Decode(s.ctx, data, head.Eighths(1600))
		return err
	})
	if err != nil {
		return err
	}
	defer func() { m.Release() }()
	return s.shrink(data, head, &m)
}

// shrink does what comes after decoding; m is what is left to be released.
func (s *steps) shrink(data []byte, head jpeg.Header, m **planar.Image) error {
	err := s.step(stepResize, func() error {
		w, h := fit(head.Width, head.Height, 1600)
		small, err := (*m).Resize(s.ctx, w, h)
		if err == nil {
			(*m).Release()
			*m = small
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := s.step(stepColours, func() error { return colours(s.ctx, head, *m) }); err != nil {
		return err
	}
	orientation := orientationOf(data)
	if err := s.step(stepTurn, func() error { *m = (*m).Orient(orientation); return nil }); err != nil {
		return err
	}
	err = s.step(stepEncode, func() error {
		_, err := jpeg.AppendEncode(s.ctx, nil, *m, 80)
		return err
	})
	if err != nil {
		return err
	}
	return s.step(stepThumb, func() error {
		w, h := fit((*m).Width, (*m).Height, 320)
		small, err := (*m).Resize(s.ctx, w, h)
		if err != nil {
			return err
		}
		defer small.Release()
		_, err = jpeg.AppendEncode(s.ctx, nil, small, 80)
		return err
	})
}

// colours brings m to sRGB if the photo has another profile that is known.
func colours(ctx context.Context, head jpeg.Header, m *planar.Image) error {
	if head.Profile == nil {
		return nil
	}
	profile, err := icc.Parse(head.Profile)
	if err != nil || profile.SRGB() {
		return err
	}
	return profile.Convert(ctx, m)
}

// fit is the size of w x h scaled down to a longest side.
func fit(w, h, side int) (int, int) {
	long := max(w, h)
	if long <= side {
		return w, h
	}
	return max(1, (2*w*side+long)/(2*long)), max(1, (2*h*side+long)/(2*long))
}

// orientationOf is EXIF's, 0 if the file does not say.
func orientationOf(data []byte) int {
	r := container.Memory(data)
	names := metadata.New(r)
	s, _ := container.JPEG(r)
	for s.Next() && s.Marker != container.MarkerSOS {
		if s.Marker == container.MarkerAPP0+1 {
			names.Segment(s.Marker, s.Bytes(s.Length))
		}
	}
	return names.Summary().Orientation
}
