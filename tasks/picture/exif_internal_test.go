package picture

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEXIFOrientationDamaged(t *testing.T) {
	entry := "\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
	for name, c := range map[string]struct {
		tiff string
		want int
	}{
		"whole":                      {"MM\x00*\x00\x00\x00\x08\x00\x01" + entry, 6},
		"empty":                      {"", 1},
		"other magic":                {"XX\x00*\x00\x00\x00\x08\x00\x01" + entry, 1},
		"directory beyond the end":   {"MM\x00*\xff\xff\xff\xff\x00\x01" + entry, 1},
		"directory at the very end":  {"MM\x00*\x00\x00\x00\x08", 1},
		"more entries than bytes":    {"MM\x00*\x00\x00\x00\x08\xff\xff\x00\x00", 1},
		"entry cut":                  {"MM\x00*\x00\x00\x00\x08\x00\x01" + entry[:11], 1},
		"type long":                  {"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x04\x00\x00\x00\x01\x00\x00\x00\x06", 1},
		"orientation 0":              {"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x00\x00\x00", 1},
		"orientation 9":              {"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x09\x00\x00", 1},
		"directory overlaps the top": {"MM\x00*\x00\x00\x00\x00", 1},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, exifOrientation([]byte(c.tiff)))
		})
	}
}

func FuzzEXIFOrientation(f *testing.F) {
	f.Add([]byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"))
	f.Add([]byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := exifOrientation(b)
		require.True(t, got >= 1 && got <= 8)
	})
}
