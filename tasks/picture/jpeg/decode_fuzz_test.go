package jpeg_test

import (
	"bytes"
	stdjpeg "image/jpeg"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/jpeg"
)

// FuzzDecode holds Decode against image/jpeg: what that takes without an error must
// give the same samples but for rounding, and nothing may panic or hold more than Cost
// says.
func FuzzDecode(f *testing.F) {
	for _, name := range smallNames(f) {
		f.Add(small(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 8 << 20
		h, err := jpeg.ReadHeader(container.Memory(data))
		if err != nil || !h.Supported() || h.Cost(8) > most {
			return
		}
		for _, eighths := range scales[:len(scales)-1] {
			if m, _, err := decode(t.Context(), data, eighths); err == nil {
				require.LessOrEqual(t, planeBytes(m), h.Cost(eighths))
				m.Release()
			}
		}
		m, damage, err := decode(t.Context(), data, 8)
		if err != nil {
			return
		}
		defer m.Release()
		require.LessOrEqual(t, planeBytes(m), h.Cost(8))
		if damage != nil || !jpeg.Plain(data) {
			return
		}
		if want, err := stdjpeg.Decode(bytes.NewReader(data)); err == nil {
			require.LessOrEqual(t, furthest(t, m.Planes, samplesOf(want)), 2)
		}
	})
}
