package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sync/errgroup"

	"casepress/bench/pictures/stopwatch"
	"casepress/tasks/picture"
)

// photo IN OUT: one picture from file to file.
func photo(ctx context.Context, args []string) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("photo IN OUT")
	}
	return nil, process(ctx, args[0], args[1], nil)
}

// process writes the full picture; the thumbnail is made too, and dropped.
func process(ctx context.Context, in, out string, budget *picture.Budget) error {
	file, err := os.Open(in)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	res, err := picture.Process(ctx, file, info.Size(), budget, picture.Options{})
	if err != nil {
		return err
	}
	return os.WriteFile(out, res.Full.Data, 0o600)
}

// warm N IN OUT: the same as photo, over and over in one process.
func warm(ctx context.Context, args []string) (any, error) {
	_, files, n, err := split(args, 1)
	if err != nil || len(files) != 2 {
		return nil, errors.New("warm N IN OUT")
	}
	return stopwatch.Repeat(n, func() error { return process(ctx, files[0], files[1], nil) })
}

// workers N OUTDIR IN...: all pictures, N at a time, with the budget of the service.
func workers(ctx context.Context, args []string) (any, error) {
	first, inputs, n, err := split(args, 2)
	if err != nil {
		return nil, errors.New("workers N OUTDIR IN…")
	}
	budget := picture.NewBudget(picture.DefaultBudget)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(n)
	for i, in := range inputs {
		group.Go(func() error { return process(ctx, in, filepath.Join(first[1], strconv.Itoa(i)+".jpg"), budget) })
	}
	return nil, group.Wait()
}

// read returns a file that is closed by whoever reads it.
func read(name string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return os.Open(name) }
}
