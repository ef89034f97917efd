package jpeg

import (
	"errors"
	"fmt"
)

// damage collects what is wrong with a file of which something was salvaged.
type damage struct {
	salvaged bool // at least one MCU was read
	ended    bool // the data end too early
	stopped  bool // a segment made no sense, so what follows it was left out
	frames   int  // frame headers, of which there is one
	// of all and missing MCUs of the scans so far; the first scan of each component
	// counts, as later ones only refine it
	all, missing int64
	places       int // where data were altered
}

// err says what is wrong; nil if nothing is.
func (d *damage) err() error {
	switch {
	case d.missing > 0 && d.ended:
		return fmt.Errorf("the data end after %d %% of the picture", d.percent())
	case d.missing > 0:
		return fmt.Errorf("the data are damaged and %d %% of the picture could be read", d.percent())
	case d.places > 0:
		return fmt.Errorf("the data are damaged in %d or more places", d.places)
	case d.frames > 1:
		return errors.New("the file says twice how large the picture is")
	case d.ended:
		return errors.New("the data end before the picture has all its detail")
	case d.stopped:
		return errors.New("the data cannot be read to their end")
	}
	return nil
}

// percent rounds down, so that a picture with a hole never counts as whole.
func (d *damage) percent() int64 { return (d.all - d.missing) * 100 / max(d.all, 1) }
