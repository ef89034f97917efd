package pdf

import (
	"fmt"
	"strings"
)

// verify reads back the bytes that were written and compares them with what was laid out: the number
// of pages, their text letter by letter, the pictures on each, and the pictures of the file.
func verify(sent *sentBytes, pages []*page, pictures []picture) error {
	c, err := Read(sent, sent.size)
	if err != nil {
		return err
	}
	if len(c.Pages) != len(pages) {
		return fmt.Errorf("%d pages, want %d", len(c.Pages), len(pages))
	}
	if len(c.Pictures) != len(pictures) {
		return fmt.Errorf("%d pictures, want %d", len(c.Pictures), len(pictures))
	}
	for i, p := range pages {
		if c.Shown[i] != len(p.pictures) {
			return fmt.Errorf("page %d: %d pictures, want %d", i+1, c.Shown[i], len(p.pictures))
		}
		if c.Pages[i] != p.content() {
			return fmt.Errorf("page %d: the text is not what was laid out", i+1)
		}
	}
	return nil
}

// content is the text of a page in the order in which it is drawn.
func (p *page) content() string {
	var b strings.Builder
	for _, t := range p.texts {
		for _, l := range t.letters {
			b.WriteString(l.text)
		}
	}
	return b.String()
}
