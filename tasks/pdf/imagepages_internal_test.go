package pdf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNotesStayInTheirCell lays out pictures with the longest names and all that package picture can say
// of one HEIC and of one TIFF, beside pictures without notes. Nothing of one may get into the cell of
// another or leave the page, and every picture keeps a height at which something is seen.
func TestNotesStayInTheirCell(t *testing.T) {
	const (
		details = "The file says more about itself than is read; the picture's colours or the way it is turned may be off."
		colours = "The picture's colours are of a kind that could not be converted; they may be off."
	)
	heic := []string{details, "The file has several pictures; the main one is shown.", "The picture's transparency could not be read; parts that should not be seen may be.", colours}
	tiff := []string{details, "The file has several pages; the first one is shown.", colours}
	for _, perPage := range []int{1, 2, 4} {
		for _, paper := range []Paper{A4, Letter} {
			for _, size := range [][2]int{{1, 1600}, {700, 1600}, {1200, 1600}, {1600, 1200}, {1600, 1}} {
				t.Run(fmt.Sprint(perPage, paper, size), func(t *testing.T) {
					plain := Image{
						ID: strings.Repeat("W", 64), Name: strings.Repeat("长", 100), SHA256: strings.Repeat("ab", 32), Bytes: 3_970_480,
						SourceWidth: 4032, SourceHeight: 3024, CapturedAt: "2026-11-20T09:41:07", Width: size[0], Height: size[1],
					}
					noted, hurt := plain, plain
					noted.Notes = heic
					hurt.Notes, hurt.Damaged = tiff, "The data end after 46 % of the picture."
					l := newLayout(Document{Images: []Image{noted, plain, plain, hurt}, Options: Options{PerPage: perPage, Paper: paper}})
					l.cleanNames()
					cells := l.cells()
					for i := range l.doc.Images {
						l.newPage()
						c := cells[i%len(cells)]
						l.image(i, c, perPage == 1)
						requireWithin(t, l.page(), c)
						for _, n := range l.doc.Images[i].Notes {
							require.Contains(t, l.page().content(), n)
						}
						if size[0] <= size[1] {
							require.GreaterOrEqual(t, l.page().pictures[0].h, 40.0)
						}
					}
				})
			}
		}
	}
}

func requireWithin(t *testing.T, p *page, c cell) {
	t.Helper()
	const frame = 2
	for _, b := range p.boxes {
		require.LessOrEqual(t, b.x+b.w, c.x+c.w+frame)
		require.LessOrEqual(t, b.y+b.h, c.y+c.h+frame)
	}
	for _, s := range p.texts {
		require.LessOrEqual(t, s.x+widthOf(s.style, s.letters), c.x+c.w+s.style.size/2) // a blank at the end of a line may lie beyond
		require.LessOrEqual(t, s.y, c.y+c.h)
		require.GreaterOrEqual(t, s.x, c.x)
	}
	for _, s := range p.pictures {
		require.LessOrEqual(t, s.y+s.h, c.y+c.h)
	}
}
