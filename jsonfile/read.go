package jsonfile

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Read returns the content of a file, and one byte more than most if it is larger, so that [Check]
// refuses it. noun is what the file holds, as in [Format]. What is no regular file is refused. An
// error does not repeat the path.
func Read(path string, most int, noun string) (content []byte, err error) {
	// Opening a named pipe would wait for somebody to write to it.
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a file; " + noun + " is one JSON file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	content, err = io.ReadAll(io.LimitReader(file, int64(most)+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	return content, nil
}

// withoutPath returns what an error of package os says besides the path, which stands before it
// already.
func withoutPath(err error) error {
	var of *os.PathError
	if errors.As(err, &of) {
		return fmt.Errorf("cannot be read: %w", of.Err)
	}
	return err
}
