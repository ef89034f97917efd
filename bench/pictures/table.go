package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// A table is what is printed: rows of as many cells as the head has.
type table struct {
	head []string
	rows [][]string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table as Markdown, with an empty line ahead.
func (t *table) print(out io.Writer) {
	fmt.Fprintf(out, "\n| %s |\n|%s\n", strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
	for _, row := range t.rows {
		fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
	}
}

// median returns NaN for none, which prints as nothing.
func median(figures []float64) float64 {
	if len(figures) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(figures))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// least returns NaN for none.
func least(figures []float64) float64 {
	if len(figures) == 0 {
		return math.NaN()
	}
	return slices.Min(figures)
}

// mean returns NaN for none, or if one is not known.
func mean(figures []float64) float64 {
	sum := 0.0
	for _, v := range figures {
		sum += v
	}
	return sum / float64(len(figures))
}

// number prints v with so many digits after the point, and nothing if it is not known.
func number(v float64, digits int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	return fmt.Sprintf("%.*f", digits, v)
}

// against prints v and its ratio to what it is compared with: "116 (0.36)".
func against(v, to float64) string {
	text := number(v, 0)
	if ratio := number(v/to, 2); ratio != "" {
		text += " (" + ratio + ")"
	}
	return text
}
