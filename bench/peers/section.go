package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// A section is one table: rows are contenders, columns are circumstances.
type section struct {
	title   string
	unit    string
	columns []string
	format  func(float64) string
	cells   []cell
	ratios  []ratio
}

// A cell is one measurement. It fills one column, or as many from there on as it has figures.
type cell struct {
	row    string
	column int
	run    func(ctx context.Context, dir string) ([]float64, error)
	rounds [][]float64 // figures of each round
}

// A ratio compares two rows, round by round: a slow hour slows both.
type ratio struct{ of, to string }

// measure takes each cell once, column by column, so that what is compared lies close in time.
func (s *section) measure(ctx context.Context, set settings) error {
	for column := range s.columns {
		for i := range s.cells {
			c := &s.cells[i]
			if c.column != column {
				continue
			}
			if err := c.measure(ctx, set.dir); err != nil {
				return fmt.Errorf("%s, %s, %s: %w", s.title, c.row, s.columns[column], err)
			}
		}
	}
	return nil
}

func (c *cell) measure(ctx context.Context, parent string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	runtime.GC()
	syscall.Sync() // what others left to be written must not be written now
	figures, err := c.run(ctx, dir)
	if err != nil {
		return err
	}
	c.rounds = append(c.rounds, figures)
	return nil
}

func (s *section) print(out io.Writer) {
	fmt.Fprintf(out, "\n## %s\n\n| %s | %s |\n|%s\n", s.title, s.unit, strings.Join(s.columns, " | "),
		strings.Repeat("---|", len(s.columns)+1))
	for _, row := range s.rows() {
		s.line(out, row, func(column int) string { return known(median(s.figures(row, column)), s.format) })
	}
	for _, r := range s.ratios {
		if len(s.all(r.of)) == 0 || len(s.all(r.to)) == 0 {
			continue
		}
		s.line(out, "**"+r.of+" / "+r.to+"**", func(column int) string {
			return known(median(quotients(s.figures(r.of, column), s.figures(r.to, column))), times)
		})
	}
}

func (s *section) line(out io.Writer, row string, text func(column int) string) {
	fmt.Fprintf(out, "| %s |", row)
	for column := range s.columns {
		fmt.Fprintf(out, " %s |", text(column))
	}
	fmt.Fprintln(out)
}

func known(v float64, format func(float64) string) string {
	if v == 0 {
		return ""
	}
	return format(v)
}

// rows lists the rows in the order of their first cells.
func (s *section) rows() []string {
	var rows []string
	for _, c := range s.cells {
		if !slices.Contains(rows, c.row) {
			rows = append(rows, c.row)
		}
	}
	return rows
}

func (s *section) all(row string) []cell {
	return slices.DeleteFunc(slices.Clone(s.cells), func(c cell) bool { return c.row != row })
}

// figures returns a row's figures in a column, one a round.
func (s *section) figures(row string, column int) []float64 {
	var figures []float64
	for _, c := range s.all(row) {
		for _, round := range c.rounds {
			if i := column - c.column; i >= 0 && i < len(round) {
				figures = append(figures, round[i])
			}
		}
	}
	return figures
}

// quotients leaves out what was too short to see one answer.
func quotients(a, b []float64) []float64 {
	var q []float64
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			q = append(q, a[i]/b[i])
		}
	}
	return q
}

// median returns 0 for none.
func median(figures []float64) float64 {
	if len(figures) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(figures))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

func perSecond(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func microseconds(v float64) string { return fmt.Sprintf("%.1f", v) }

func milliseconds(v float64) string { return fmt.Sprintf("%.3f", v) }

func times(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
