package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
)

// A section is a group of measurements that are compared with each other.
type section struct {
	title string
	cells []*cell
}

// A cell is one measurement, taken once a round. A measurement that fails is not repeated.
type cell struct {
	row, column string
	run         func(ctx context.Context) (usage, error)
	rounds      []usage
	err         error
}

func (s *section) add(row, column string, run func(ctx context.Context) (usage, error)) {
	s.cells = append(s.cells, &cell{row: row, column: column, run: run})
}

// measure takes each cell once, in their order: what is compared must stand close together.
func (s *section) measure(ctx context.Context) error {
	for _, c := range s.cells {
		if c.err != nil {
			continue
		}
		u, err := c.run(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if c.err = err; err != nil {
			fmt.Fprintf(os.Stderr, "%s, %s, %s: %v\n", s.title, c.row, c.column, err)
			continue
		}
		c.rounds = append(c.rounds, u)
	}
	return nil
}

// rows and columns stand in the order of their first cells.
func (s *section) rows() (names []string) {
	return distinct(s.cells, func(c *cell) string { return c.row })
}
func (s *section) columns() (names []string) {
	return distinct(s.cells, func(c *cell) string { return c.column })
}

func distinct(cells []*cell, name func(*cell) string) (names []string) {
	for _, c := range cells {
		if !slices.Contains(names, name(c)) {
			names = append(names, name(c))
		}
	}
	return names
}

// The figures of a usage.
func cpu(u usage) float64  { return u.cpu }
func wall(u usage) float64 { return u.wall }
func rss(u usage) float64  { return u.rss }

// also is a figure that the job told itself, NaN if it did not.
func also(name string) func(u usage) float64 {
	return func(u usage) float64 {
		if v, ok := u.more[name]; ok {
			return v
		}
		return math.NaN()
	}
}

// all returns a figure of every round.
func (s *section) all(row, column string, figure func(usage) float64) (figures []float64) {
	for _, c := range s.cells {
		if c.row == row && c.column == column && c.err == nil {
			for _, u := range c.rounds {
				figures = append(figures, figure(u))
			}
		}
	}
	return figures
}

func (s *section) least(row, column string, figure func(usage) float64) float64 {
	return least(s.all(row, column, figure))
}

func (s *section) median(row, column string, figure func(usage) float64) float64 {
	return median(s.all(row, column, figure))
}

// most is for memory: the worst round counts.
func (s *section) most(row, column string, figure func(usage) float64) float64 {
	figures := s.all(row, column, figure)
	if len(figures) == 0 {
		return math.NaN()
	}
	return slices.Max(figures)
}

// ratio is the mean over columns of a row's least processor time to another row's.
func (s *section) ratio(row, to string, columns []string) float64 {
	var ratios []float64
	for _, column := range columns {
		ratios = append(ratios, s.least(row, column, cpu)/s.least(to, column, cpu))
	}
	return mean(ratios)
}

// failures says of each cell that failed why.
func (s *section) failures() (lines []string) {
	for _, c := range s.cells {
		if c.err != nil {
			lines = append(lines, fmt.Sprintf("%s, %s: %v", c.row, c.column, c.err))
		}
	}
	return lines
}
