package main

import (
	"image"
	"image/color"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

// halves is a picture whose left half is of one colour and whose right half is of another.
func halves(w, h int, left, right color.Color) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := left
			if 2*x >= w {
				c = right
			}
			img.Set(x, y, c)
		}
	}
	return img
}

func TestJudge(t *testing.T) {
	black, hidden := color.NRGBA{0, 0, 0, 255}, color.NRGBA{0, 0, 0, 0}
	right := view{img: halves(90, 70, black, color.White)}
	overWhite := view{img: halves(90, 71, black, hidden)}
	mirrored := view{img: halves(90, 70, color.White, black)}
	turned := view{img: halves(70, 90, black, color.White)}
	fails := view{error: "cannot"}
	noted := func(v view, code string) view { v.notes = []string{code}; return v }
	for _, c := range []struct {
		name            string
		ours, vips, pil view
		want            class
	}{
		{"as both", right, right, overWhite, same},
		{"as the only other", right, fails, right, same},
		{"nobody else", right, fails, fails, alone},
		{"unlike both", mirrored, right, right, different},
		{"unlike the only other", turned, right, fails, different},
		{"the first page, but unlike it", noted(mirrored, picture.CodeFirstPage), right, right, different},
		{"unlike both, and says so", noted(mirrored, picture.CodeColours), right, right, remarked},
		{"as both, and says too much", noted(right, picture.CodeDamaged), right, right, remarked},
		{"as one of two", right, mirrored, right, sameAsOne},
		{"refused", fails, right, right, refused},
		{"refused as one", fails, fails, right, refusedAsOne},
		{"refused by all", fails, fails, fails, refusedByAll},
	} {
		got, _ := judge(c.ours, c.vips, c.pil)
		require.Equal(t, c.want, got, c.name)
	}
}

// TestDiffer measures a grid whose parts do not end at pixels: the middle column of 33 is half black.
func TestDiffer(t *testing.T) {
	white := halves(33, 5, color.White, color.White)
	d := differ(white, halves(33, 5, color.Black, color.White))
	require.InDelta(t, 255, d.most, 0.01)
	require.InDelta(t, 255*17.0/33, d.mean, 0.01)
	require.Zero(t, differ(white, white).most)
}

// Each reason is for a file of a package that is looked into.
func TestTables(t *testing.T) {
	packages, err := rows(packagesTable, 5)
	require.NoError(t, err)
	require.NotEmpty(t, packages)
	require.LessOrEqual(t, len(packages), 5)
	named := map[string]bool{}
	for _, p := range packages {
		require.Len(t, p[4], 64, "the SHA-256 of %s", p[1])
		named[p[1]] = true
	}
	reasons, err := rows(explainedTable, 3)
	require.NoError(t, err)
	for _, r := range reasons {
		require.True(t, named[r[0]], r[0])
		require.NotEmpty(t, r[2], r[1])
	}
}
