//go:build govips

// Command govips shrinks photos with libvips in process. It needs cgo and libvips's headers, hence the build tag.
// N IN OUT: N times and once before, with one thread, telling the best.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/davidbyttow/govips/v2/vips"

	"casepress/bench/pictures/stopwatch"
)

func main() {
	vips.LoggingSettings(nil, vips.LogLevelError)
	vips.Startup(&vips.Config{ConcurrencyLevel: 1})
	defer vips.Shutdown()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "govips:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("N IN OUT")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	best, err := stopwatch.Repeat(n, func() error { return shrink(args[1], args[2]) })
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(best)
}

// shrink turns upright, as vips's thumbnail always does, and shrinks.
func shrink(in, out string) error {
	img, err := vips.NewThumbnailWithSizeFromFile(in, 1600, 1600, vips.InterestingNone, vips.SizeDown)
	if err != nil {
		return err
	}
	defer img.Close()
	data, _, err := img.ExportJpeg(&vips.JpegExportParams{Quality: 80, StripMetadata: true})
	if err != nil {
		return err
	}
	return os.WriteFile(out, data, 0o600)
}
