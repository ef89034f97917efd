// Command naive shrinks photos the way the first example of every tutorial does: imaging.Open with AutoOrientation,
// Fit with Lanczos, jpeg.Encode. IN OUT: once; N IN OUT: N times and once before, in one process, telling the best.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"strconv"

	"github.com/disintegration/imaging"

	"casepress/bench/pictures/stopwatch"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "naive:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch len(args) {
	case 2:
		return shrink(args[0], args[1])
	case 3:
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
	return errors.New("[N] IN OUT")
}

func shrink(in, out string) error {
	img, err := imaging.Open(in, imaging.AutoOrientation(true))
	if err != nil {
		return err
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	err = jpeg.Encode(file, imaging.Fit(img, 1600, 1600, imaging.Lanczos), &jpeg.Options{Quality: 80})
	return errors.Join(err, file.Close())
}
