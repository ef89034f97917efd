package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// The sections, by title.
const (
	oneTitle     = "One photo, a process each"
	warmTitle    = "One photo, warm, in process"
	workersTitle = "Two workers on twelve photos of 12 MP"
	caseTitle    = "Ten photos of 12 MP in, PDF on disk"
	pdfTitle     = "PDF of ready pictures"
	stagesTitle  = "Where our time goes"
	qualityTitle = "Quality"
)

// bench is where everything is: programs and results in dir, photos in photos.
type bench struct {
	dir, photos string
	contenders  []contender
	set         []photo // those that are there
	ten         []string
}

func (b *bench) out(name string) string        { return filepath.Join(b.dir, name) }
func (b *bench) photo(p photo) string          { return filepath.Join(b.photos, p.name) }
func (b *bench) program(name string) string    { return filepath.Join(b.dir, name) }
func (b *bench) installed(program string) bool { return absent(program) == "" }

// one measures a process for each photo.
func (b *bench) one() *section {
	s := &section{title: oneTitle}
	for _, p := range b.set {
		for _, c := range b.contenders {
			if c.missing == "" && c.once != nil {
				argv := c.once(b.photo(p), b.out("one.jpg"))
				s.add(c.name, p.number(), func(ctx context.Context) (usage, error) { return child(ctx, argv...) })
			}
		}
	}
	return s
}

// warm leaves out what a process costs to start, and the first photo.
func (b *bench) warm() *section {
	s := &section{title: warmTitle}
	for _, p := range b.set {
		for _, c := range b.contenders {
			if c.missing == "" && c.warm != nil {
				argv := c.warm(b.photo(p), b.out("warm.jpg"))
				s.add(c.name, p.number(), func(ctx context.Context) (usage, error) { return told(ctx, argv...) })
			}
		}
	}
	return s
}

// ours are casepress's two programs.
var ours = []struct{ name, program string }{{press, "press"}, {pressGo, "press-go"}}

// stages measures the steps of each photo in casepress.
func (b *bench) stages() *section {
	s := &section{title: stagesTitle}
	for _, p := range b.set {
		for _, row := range ours {
			argv := []string{b.program(row.program), "stages", "3", b.photo(p)}
			s.add(row.name, p.number(), func(ctx context.Context) (usage, error) { return child(ctx, argv...) })
		}
	}
	return s
}

// The rows of two workers.
const (
	twoOfList  = "vipsthumbnail, two processes, each a list of six"
	twoOfSix   = "vipsthumbnail, two side by side, a process a photo"
	twelveRuns = 12
)

// workers measures one process of two workers against two of vipsthumbnail.
func (b *bench) workers() *section {
	s := &section{title: workersTitle}
	var files []string
	for _, p := range b.set {
		if p.group == twelve {
			files = append(files, b.photo(p))
		}
	}
	if len(files) == 0 {
		return s
	}
	var all []string
	for i := range twelveRuns {
		all = append(all, files[i%len(files)])
	}
	outs := b.out("workers")
	for _, row := range ours {
		argv := append([]string{b.program(row.program), "workers", "2", outs}, all...)
		s.add(row.name, "", func(ctx context.Context) (usage, error) { return child(ctx, argv...) })
	}
	if !b.installed("vipsthumbnail") {
		return s
	}
	lists := [2][]string{}
	singles := [2][][]string{}
	for i, in := range all {
		lists[i%2] = append(lists[i%2], in)
		singles[i%2] = append(singles[i%2], thumbnail(in, b.out(fmt.Sprintf("workers/single%d.jpg", i%2))))
	}
	list := func(i int) [][]string {
		return [][]string{append([]string{"vipsthumbnail", "--size", "1600x1600", "-o", fmt.Sprintf("%s/%d-%%s.jpg[Q=80,strip]", outs, i)}, lists[i]...)}
	}
	s.add(twoOfList, "", func(ctx context.Context) (usage, error) { return lanes(ctx, list(0), list(1)) })
	s.add(twoOfSix, "", func(ctx context.Context) (usage, error) { return lanes(ctx, singles[0], singles[1]) })
	return s
}

const vipsAndPDF = "vipsthumbnail x 10, two side by side, and img2pdf"

// caseReport measures a whole case report against the two programs that would make one.
func (b *bench) caseReport() *section {
	s := &section{title: caseTitle}
	if len(b.ten) != len(tenPhotos) {
		return s
	}
	for _, row := range ours {
		s.add(row.name, "", func(ctx context.Context) (usage, error) {
			data := b.out("case")
			defer os.RemoveAll(data)
			return child(ctx, append([]string{b.program(row.program), "case", "2", data, b.out("case.pdf")}, b.ten...)...)
		})
	}
	if !b.installed("vipsthumbnail") || !b.installed("img2pdf") {
		return s
	}
	var thumbs [2][][]string
	book := []string{"img2pdf", "-o", b.out("peers.pdf")}
	for i, in := range b.ten {
		small := b.out(fmt.Sprintf("peer%d.jpg", i))
		thumbs[i%2] = append(thumbs[i%2], thumbnail(in, small))
		book = append(book, small)
	}
	s.add(vipsAndPDF, "", func(ctx context.Context) (usage, error) {
		shrunk, err := lanes(ctx, thumbs[0], thumbs[1])
		if err != nil {
			return usage{}, err
		}
		bound, err := child(ctx, book...)
		return shrunk.then(bound), err
	})
	return s
}

// pdf measures reports of ready pictures, ten and a hundred.
func (b *bench) pdf(ctx context.Context) (*section, error) {
	s := &section{title: pdfTitle}
	ready, err := b.ready(ctx)
	if err != nil || len(ready) == 0 {
		return s, err
	}
	hundred, err := b.hundred(ready)
	if err != nil {
		return s, err
	}
	for _, size := range []struct {
		column, times string
		files         []string
	}{{"10", "5", ready}, {"100", "1", hundred}} {
		argv := append([]string{b.program("press"), "pdf", size.times, b.out("ready.pdf")}, size.files...)
		s.add(press, size.column, func(ctx context.Context) (usage, error) { return told(ctx, argv...) })
		if b.installed("img2pdf") {
			argv := append([]string{"img2pdf", "-o", b.out("ready-peer.pdf")}, size.files...)
			s.add(img2pdf, size.column, func(ctx context.Context) (usage, error) { return child(ctx, argv...) })
		}
	}
	return s, nil
}

// ready shrinks the ten photos.
func (b *bench) ready(ctx context.Context) (files []string, err error) {
	for i, in := range b.ten {
		out := b.out(fmt.Sprintf("ready%d.jpg", i))
		if _, err := child(ctx, b.program("press"), "photo", in, out); err != nil {
			return nil, err
		}
		files = append(files, out)
	}
	return files, nil
}

// hundred makes a hundred pictures of ten that are no two alike: a comment tells them apart.
func (b *bench) hundred(ready []string) (files []string, err error) {
	for i := range 100 {
		data, err := os.ReadFile(ready[i%len(ready)])
		if err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(data, []byte{0xff, 0xd8}) {
			return nil, fmt.Errorf("%s is no JPEG", ready[i%len(ready)])
		}
		out := b.out(fmt.Sprintf("hundred%02d.jpg", i))
		if err := os.WriteFile(out, slices.Concat(data[:2], []byte{0xff, 0xfe, 0, 3, byte(i)}, data[2:]), 0o600); err != nil {
			return nil, err
		}
		files = append(files, out)
	}
	return files, nil
}
