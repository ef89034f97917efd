package picture

import (
	"bufio"
	"errors"
	"io"
)

// newBuffered returns a reader that asks for large pieces.
func newBuffered(r io.Reader) io.Reader { return bufio.NewReaderSize(r, 64<<10) }

// maxScans is how many scans of a JPEG the slow way decodes. Photos have about ten;
// each costs a pass over all pixels however few bytes it has, so that a small file of
// very many scans would keep a processor busy for hours.
const maxScans = 1000

var errScans = errors.New("too many scans")

// scanCounter fails once it has seen more scan headers than a photo has. Scans
// never hold the two bytes otherwise; metadata may by chance, too rarely to matter.
type scanCounter struct {
	r     io.Reader
	last  byte
	scans int
}

func newScanCounter(r io.Reader) io.Reader { return newBuffered(&scanCounter{r: r}) }

func (c *scanCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for _, b := range p[:n] {
		if c.last == 0xff && b == markerSOS {
			c.scans++
		}
		c.last = b
	}
	if c.scans > maxScans {
		return 0, errScans
	}
	return n, err
}
