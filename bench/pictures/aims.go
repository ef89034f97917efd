package main

import (
	"io"
	"math"
)

// An aim is a promise of the project and what was measured of it.
type aim struct {
	text    string
	limit   float64
	got     float64 // NaN if not measured
	atLeast bool    // got must not be below the limit; else not above
	digits  int
	unit    string
}

// met says "met" or "MISSED", or that nothing is known.
func (a aim) met() string {
	switch {
	case math.IsNaN(a.got):
		return "not measured"
	case a.atLeast && a.got >= a.limit, !a.atLeast && a.got <= a.limit:
		return "met"
	}
	return "MISSED"
}

func printAims(out io.Writer, aims []aim) {
	t := table{head: []string{"aim", "limit", "measured", ""}}
	for _, a := range aims {
		word := "at most "
		if a.atLeast {
			word = "at least "
		}
		got := number(a.got, a.digits)
		if got != "" {
			got += a.unit
		}
		t.row(a.text, word+number(a.limit, a.digits)+a.unit, got, a.met())
	}
	t.print(out)
}

// results are all sections after the last round.
type results struct {
	one, warm, workers, whole, pdf, stages *section

	verdicts []verdict
}

// aims compares with what the project promised.
func (r results) aims(set []photo) []aim {
	group := func(name string) (columns []string) {
		for _, p := range set {
			if p.group == name {
				columns = append(columns, p.number())
			}
		}
		return columns
	}
	dB, ssim, size := worst(r.verdicts)
	faster := func(than string, figure func(usage) float64) float64 {
		return r.workers.least(than, "", figure) / r.workers.least(press, "", figure)
	}
	whole := func(figure func(usage) float64) float64 {
		return r.whole.least(press, "", figure) / r.whole.least(vipsAndPDF, "", figure)
	}
	return []aim{
		{text: "CPU of vipsthumbnail's, 12 MP", limit: 0.35, got: r.one.ratio(press, vipsCLI, group(twelve)), digits: 2, unit: "x"},
		{text: "CPU of vipsthumbnail's, 24 MP", limit: 0.45, got: r.one.ratio(press, vipsCLI, group(twentyFour)), digits: 2, unit: "x"},
		{text: "the same without assembly, 12 MP", limit: 0.45, got: r.one.ratio(pressGo, vipsCLI, group(twelve)), digits: 2, unit: "x"},
		{text: "the same without assembly, 24 MP", limit: 0.5, got: r.one.ratio(pressGo, vipsCLI, group(twentyFour)), digits: 2, unit: "x"},
		{text: "CPU of vipsthumbnail's, progressive", limit: 0.6, got: r.one.ratio(press, vipsCLI, group(progressive)), digits: 2, unit: "x"},
		{text: "two workers, photos a second of two vipsthumbnail processes', a process a photo", limit: 3.5, got: faster(twoOfSix, wall), atLeast: true, digits: 2, unit: "x"},
		{text: "the same by CPU", limit: 3.5, got: faster(twoOfSix, cpu), atLeast: true, digits: 2, unit: "x"},
		{text: "the same by the clock, each process a list of photos", limit: 3.5, got: faster(twoOfList, wall), atLeast: true, digits: 2, unit: "x"},
		{text: "two workers on 12 MP, peak RSS", limit: 64, got: r.workers.most(press, "", rss), digits: 0, unit: " MB"},
		{text: "worst loss of Y-PSNR against the ideal", limit: 0.05, got: dB, digits: 3, unit: " dB"},
		{text: "worst loss of SSIM against the ideal", limit: 0.0005, got: ssim, digits: 5},
		{text: "largest file beside the standard encoder's of the ideal", limit: 1, got: size, digits: 3, unit: "x"},
		{text: "ten photos to a PDF, wall time of vipsthumbnail x 10 and img2pdf", limit: 0.3, got: whole(wall), digits: 2, unit: "x"},
		{text: "the same by CPU", limit: 0.3, got: whole(cpu), digits: 2, unit: "x"},
		{text: "cover and 10 ready pictures with Chinese, warm, CPU", limit: 20, got: r.pdf.least(press, "10", cpu), digits: 1, unit: " ms"},
		{text: "100 ready pictures, peak RSS", limit: 64, got: r.pdf.most(press, "100", rss), digits: 0, unit: " MB"},
	}
}

// worst returns the largest losses and file over all photos.
func worst(verdicts []verdict) (dB, ssim, size float64) {
	dB, ssim, size = math.NaN(), math.NaN(), math.NaN()
	for _, v := range verdicts {
		if d, s, f, ok := v.loss(); ok {
			dB, ssim, size = larger(dB, d), larger(ssim, s), larger(size, f)
		}
	}
	return dB, ssim, size
}

func larger(a, b float64) float64 {
	if math.IsNaN(a) {
		return b
	}
	return max(a, b)
}
