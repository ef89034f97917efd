package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"casepress/bench/pictures/quality"
)

// ideal is what the pictures are judged by: the reference itself, with no loss but that of the standard encoder.
const ideal = "full decode + float Lanczos3, std encoder"

// judged are the rows whose pictures are looked at.
var judged = []string{ideal, press, naive, vipsCLI, magick}

// A verdict is the scores of one photo, by row. same says that casepress made the same bytes without assembly.
type verdict struct {
	photo  photo
	scores map[string]quality.Score
	same   bool
	notes  []string
}

// judge shrinks each photo once more, without its colour profile, and scores what comes out. It needs memory, and so
// must come after all that measures some.
func (b *bench) judge(ctx context.Context) ([]verdict, error) {
	var verdicts []verdict
	for _, p := range b.set {
		fmt.Fprintf(os.Stderr, "quality: %s\n", p.name)
		v, err := b.judgeOne(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

func (b *bench) judgeOne(ctx context.Context, p photo) (verdict, error) {
	v := verdict{photo: p, scores: map[string]quality.Score{}}
	large, err := os.ReadFile(b.photo(p))
	if err != nil {
		return v, err
	}
	large = quality.WithoutProfile(large)
	in := b.out("bare.jpg")
	if err := os.WriteFile(in, large, 0o600); err != nil {
		return v, err
	}
	ref, err := quality.NewReference(large)
	if err != nil {
		return v, err
	}
	made := map[string][]byte{}
	for _, c := range b.contenders {
		if c.missing != "" || c.once == nil || c.nothing {
			continue
		}
		if made[c.name], err = b.shrunk(ctx, c, in); err != nil {
			v.notes = append(v.notes, fmt.Sprintf("%s: %v", c.name, err))
		}
	}
	v.same = bytes.Equal(made[press], made[pressGo])
	for _, row := range judged {
		if made[row] == nil {
			continue
		}
		if v.scores[row], err = ref.Score(made[row]); err != nil {
			delete(v.scores, row)
			v.notes = append(v.notes, fmt.Sprintf("%s: %v", row, err))
		}
	}
	return v, v.addIdeal(ref)
}

func (b *bench) shrunk(ctx context.Context, c contender, in string) ([]byte, error) {
	out := b.out("judged.jpg")
	defer os.Remove(out)
	if _, err := child(ctx, c.once(in, out)...); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// addIdeal scores the reference's own encoding, at the size that casepress chose.
func (v verdict) addIdeal(ref *quality.Reference) error {
	size := v.scores[press].Size
	if size.X == 0 {
		return nil
	}
	best, err := ref.Encode(size, 80)
	if err != nil {
		return err
	}
	v.scores[ideal], err = ref.Score(best)
	return err
}

// loss is how much nearer the ideal comes than casepress, in dB and SSIM, and how large casepress's file is beside it.
func (v verdict) loss() (dB, ssim, size float64, known bool) {
	got, ok := v.scores[press]
	want, wanted := v.scores[ideal]
	if !ok || !wanted {
		return 0, 0, 0, false
	}
	return want.PSNR - got.PSNR, want.SSIM - got.SSIM, float64(got.Bytes) / float64(want.Bytes), true
}

func printVerdicts(out io.Writer, verdicts []verdict) {
	fmt.Fprintf(out, "\n## %s\n\nAt quality 80, colour profiles taken off first. Y-PSNR dB / chroma PSNR dB / SSIM / KB against full decode and Lanczos3 in float64 without another JPEG's loss.\n", qualityTitle)
	t := table{head: append([]string{"photo"}, judged...)}
	var differ []string
	for _, v := range verdicts {
		row := []string{v.photo.number()}
		for _, name := range judged {
			s, ok := v.scores[name]
			if !ok {
				row = append(row, "")
				continue
			}
			row = append(row, fmt.Sprintf("%.2f / %s / %.4f / %.0f", s.PSNR, grey(s.Chroma), s.SSIM, float64(s.Bytes)/1000))
		}
		t.row(row...)
		if !v.same {
			differ = append(differ, v.photo.number())
		}
	}
	t.print(out)
	if len(differ) == 0 {
		fmt.Fprintln(out, "\nWithout assembly casepress made the same bytes of every photo.")
	} else {
		fmt.Fprintln(out, "\nWithout assembly casepress made OTHER bytes of", differ)
	}
	for _, v := range verdicts {
		for _, note := range v.notes {
			fmt.Fprintf(out, "\n%s: %s\n", v.photo.number(), note)
		}
	}
}

func grey(chroma float64) string {
	if chroma == 0 {
		return "-"
	}
	return number(chroma, 2)
}
