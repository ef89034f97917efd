package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

func title(out io.Writer, text, note string) { fmt.Fprintf(out, "\n## %s\n\n%s\n", text, note) }

// printPhotos prints a figure of each row and photo, with the ratio to vipsthumbnail if asked.
func printPhotos(out io.Writer, s *section, what, to string, figure func(row, column string) float64) {
	t := table{head: append([]string{what}, s.columns()...)}
	for _, row := range s.rows() {
		cells := []string{row}
		for _, column := range s.columns() {
			v := figure(row, column)
			if to == "" || row == to {
				cells = append(cells, number(v, 0))
			} else {
				cells = append(cells, against(v, figure(to, column)))
			}
		}
		t.row(cells...)
	}
	t.print(out)
}

func (b *bench) printOne(out io.Writer, s *section) {
	title(out, s.title, "From file to file, 1,600 px, quality 80, what a process costs to start included; casepress makes its thumbnail of 320 px besides. "+
		"In parentheses: times vipsthumbnail.")
	set := table{head: []string{"photo", ""}}
	for _, p := range b.set {
		set.row(p.number(), p.what)
	}
	set.print(out)
	printPhotos(out, s, "CPU ms, least of the rounds", vipsCLI, func(r, c string) float64 { return s.least(r, c, cpu) })
	printPhotos(out, s, "CPU ms, median", vipsCLI, func(r, c string) float64 { return s.median(r, c, cpu) })
	printPhotos(out, s, "peak RSS MB, most", "", func(r, c string) float64 { return s.most(r, c, rss) })
	b.printMeans(out, s, vipsCLI)
}

// printMeans prints the mean ratio of each group of photos.
func (b *bench) printMeans(out io.Writer, s *section, to string) {
	if !slices.Contains(s.rows(), to) {
		return
	}
	groups := map[string][]string{}
	for _, p := range b.set {
		groups[p.group] = append(groups[p.group], p.number())
		groups["all"] = append(groups["all"], p.number())
	}
	names := []string{twelve, twentyFour, progressive, "all"}
	t := table{head: append([]string{"least CPU, times " + to}, names...)}
	for _, row := range s.rows() {
		cells := []string{row}
		for _, name := range names {
			cells = append(cells, number(s.ratio(row, to, groups[name]), 2))
		}
		t.row(cells...)
	}
	t.print(out)
}

func (b *bench) printWarm(out io.Writer, s *section) {
	title(out, s.title, "The same from file to file, over and over in one process: the best call after the first. In parentheses: times govips.")
	printPhotos(out, s, "CPU ms", vipsInside, func(r, c string) float64 { return s.least(r, c, cpu) })
	b.printMeans(out, s, vipsInside)
}

func printWorkers(out io.Writer, s *section) {
	title(out, s.title, fmt.Sprintf("Photos a second by the clock, which others on the machine disturb; CPU does not lie. %d photos.", twelveRuns))
	t := table{head: []string{"", "photos/s, best", "median", "CPU ms a photo, least", "peak RSS MB, most"}}
	for _, row := range s.rows() {
		rate := func(ms float64) string { return number(twelveRuns*1000/ms, 1) }
		t.row(row, rate(s.least(row, "", wall)), rate(s.median(row, "", wall)), number(s.least(row, "", cpu)/twelveRuns, 0), number(s.most(row, "", rss), 0))
	}
	t.print(out)
}

func printCase(out io.Writer, s *section) {
	title(out, s.title, "One process of casepress with two workers: originals into the blob store with digest and fsync, pictures, thumbnails, a PDF with cover and Chinese notes, "+
		"all of it fsynced. The peers read the photos where they lie and sync nothing.")
	t := table{head: []string{"", "wall ms, least", "median", "CPU ms, least", "peak RSS MB, most", "of it intake, wall ms"}}
	for _, row := range s.rows() {
		t.row(row, against(s.least(row, "", wall), s.least(vipsAndPDF, "", wall)), number(s.median(row, "", wall), 0),
			against(s.least(row, "", cpu), s.least(vipsAndPDF, "", cpu)), number(s.most(row, "", rss), 0),
			number(s.least(row, "", also("IntakeWall")), 0))
	}
	t.print(out)
}

func printPDF(out io.Writer, s *section) {
	title(out, s.title, "casepress: cover, table, Chinese notes and a page a picture, checked, in process, the best call after the first. img2pdf: pictures alone, as a process.")
	t := table{head: []string{"", "pictures", "CPU ms, least", "wall ms, least", "first call, wall ms", "peak RSS MB, most"}}
	for _, column := range s.columns() {
		for _, row := range s.rows() {
			t.row(row, column, number(s.least(row, column, cpu), 1), number(s.least(row, column, wall), 1),
				number(s.least(row, column, also("FirstWall")), 1), number(s.most(row, column, rss), 0))
		}
	}
	t.print(out)
}

func printStages(out io.Writer, s *section) {
	title(out, s.title, "CPU ms of each step in one process, the best time after the first.")
	for _, row := range s.rows() {
		names := map[string]bool{}
		for _, c := range s.cells {
			for _, u := range c.rounds {
				for name := range u.more {
					names[name] = true
				}
			}
		}
		t := table{head: append([]string{row}, s.columns()...)}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			cells := []string{name}
			for _, column := range s.columns() {
				cells = append(cells, number(s.least(row, column, also(name)), 1))
			}
			t.row(cells...)
		}
		t.print(out)
	}
}
