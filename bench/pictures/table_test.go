package main

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/bench/pictures/quality"
)

// measured returns a section whose cells give these processor times, one a round.
func measured(t *testing.T, figures map[[2]string][]float64, order ...[2]string) *section {
	t.Helper()
	s, round := &section{title: "test"}, 0
	for _, key := range order {
		s.add(key[0], key[1], func(context.Context) (usage, error) {
			if v := figures[key][round]; v > 0 {
				return usage{cpu: v, rss: v / 2}, nil
			}
			return usage{}, errors.New("broken")
		})
	}
	for range 3 {
		require.NoError(t, s.measure(t.Context()))
		round++
	}
	return s
}

func TestSection(t *testing.T) {
	a1, a2, b1, b2, c1 := [2]string{"a", "01"}, [2]string{"a", "02"}, [2]string{"b", "01"}, [2]string{"b", "02"}, [2]string{"c", "01"}
	s := measured(t, map[[2]string][]float64{
		a1: {30, 20, 70}, b1: {100, 80, 90}, c1: {5, 0, 5},
		a2: {10, 12, 11}, b2: {20, 30, 40},
	}, a1, b1, c1, a2, b2)

	require.Equal(t, []string{"a", "b", "c"}, s.rows())
	require.Equal(t, []string{"01", "02"}, s.columns())
	require.Equal(t, 20.0, s.least("a", "01", cpu))
	require.Equal(t, 30.0, s.median("a", "01", cpu))
	require.Equal(t, 35.0, s.most("a", "01", rss))
	require.InDelta(t, (0.25+0.5)/2, s.ratio("a", "b", []string{"01", "02"}), 1e-12)
	require.True(t, math.IsNaN(s.ratio("a", "b", nil)), "a mean of nothing is not known")
	require.True(t, math.IsNaN(s.ratio("a", "b", []string{"01", "03"})), "nor is one of which a part is missing")
	require.True(t, math.IsNaN(s.least("c", "01", cpu)), "what failed once is not to be believed")
	require.Equal(t, []string{"c, 01: broken"}, s.failures())
}

func TestMeasureEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	s := &section{}
	s.add("a", "01", func(context.Context) (usage, error) { cancel(why); return usage{}, errors.New("killed") })
	require.ErrorIs(t, s.measure(ctx), why)
	require.Empty(t, s.failures())
}

func TestPrintPhotos(t *testing.T) {
	a1, a2, b1 := [2]string{"a", "01"}, [2]string{"a", "02"}, [2]string{"b", "01"}
	s := measured(t, map[[2]string][]float64{a1: {30, 20, 70}, a2: {10, 10, 10}, b1: {80, 80, 90}}, a1, b1, a2)
	var out strings.Builder
	printPhotos(&out, s, "CPU ms", "b", func(r, c string) float64 { return s.least(r, c, cpu) })
	require.Equal(t, `
| CPU ms | 01 | 02 |
|---|---|---|
| a | 20 (0.25) | 10 |
| b | 80 |  |
`, out.String())
}

func TestAims(t *testing.T) {
	tests := []struct {
		name string
		aim  aim
		want string
	}{
		{"below", aim{limit: 0.35, got: 0.2}, "met"},
		{"just so", aim{limit: 0.35, got: 0.35}, "met"},
		{"above", aim{limit: 0.35, got: 0.36}, "MISSED"},
		{"at least", aim{limit: 3.5, got: 3.6, atLeast: true}, "met"},
		{"not at least", aim{limit: 3.5, got: 3.4, atLeast: true}, "MISSED"},
		{"unknown", aim{limit: 3.5, got: math.NaN()}, "not measured"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, tt.aim.met()) })
	}
	var out strings.Builder
	printAims(&out, []aim{{text: "speed", limit: 3.5, got: 3.456, atLeast: true, digits: 2, unit: "x"}, {text: "size", limit: 64, got: math.NaN(), unit: " MB"}})
	require.Equal(t, `
| aim | limit | measured |  |
|---|---|---|---|
| speed | at least 3.50x | 3.46x | MISSED |
| size | at most 64 MB |  | not measured |
`, out.String())
}

func TestAimsOfNothingAreNotMeasured(t *testing.T) {
	empty := results{one: &section{}, warm: &section{}, workers: &section{}, whole: &section{}, pdf: &section{}, stages: &section{}}
	for _, a := range empty.aims(photos) {
		require.Equal(t, "not measured", a.met(), a.text)
	}
}

func TestWorst(t *testing.T) {
	score := func(dB, ssim float64, bytes int) quality.Score {
		return quality.Score{PSNR: dB, SSIM: ssim, Bytes: bytes}
	}
	dB, ssim, size := worst([]verdict{
		{scores: map[string]quality.Score{ideal: score(37, 0.968, 1000), press: score(37.5, 0.967, 900)}},
		{scores: map[string]quality.Score{ideal: score(40, 0.96, 1000), press: score(39.5, 0.96, 990)}},
		{scores: map[string]quality.Score{ideal: score(99, 0.96, 1000)}},
	})
	require.InDelta(t, 0.5, dB, 1e-9)
	require.InDelta(t, 0.001, ssim, 1e-9)
	require.InDelta(t, 0.99, size, 1e-9)
}

func TestTenPhotosAreNoTwoAlike(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range tenPhotos {
		key := p.from + strings.Join(p.transform, " ")
		require.False(t, seen[key], key)
		seen[key] = true
	}
	require.Len(t, seen, 10)
	require.Equal(t, "09.jpg", tenPhotos[9].name[len("ten/"):])
}

func TestChild(t *testing.T) {
	u, err := child(t.Context(), "sh", "-c", `echo '{"CPU": 3, "Wall": 4}'`)
	require.NoError(t, err)
	require.Positive(t, u.rss)
	require.Equal(t, map[string]float64{"CPU": 3, "Wall": 4}, u.more)
	u, err = told(t.Context(), "sh", "-c", `echo '{"CPU": 3, "Wall": 4}'`)
	require.NoError(t, err)
	require.Equal(t, [2]float64{3, 4}, [2]float64{u.cpu, u.wall})
	_, err = child(t.Context(), "sh", "-c", "echo why >&2; exit 3")
	require.ErrorContains(t, err, "why")
	_, err = lanes(t.Context(), [][]string{{"true"}}, [][]string{{"true"}, {"false"}})
	require.Error(t, err)
}
