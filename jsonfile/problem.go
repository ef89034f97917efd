package jsonfile

import (
	"fmt"
	"io"
	"strings"
)

// Problem is one reason why a file is refused.
type Problem struct {
	// Pointer names the value as RFC 6901 does, "/sites/3/id", also a member that is missing. It is empty for the document
	// itself.
	Pointer string
	// File is the path of the file as it was given.
	File string
	// Line and Column say where in the file, counted from 1, columns in characters. They are 0 where
	// the problem is the file itself, such as its size.
	Line, Column int
	// Message names the member, says what is wrong and what would be right.
	Message string
	// Detail is Message without the name, for whoever shows the Pointer beside it.
	Detail string

	path string // with which Message begins; "" if it does not
}

// String returns "file:line:column: message", or "file: message" where the problem has no place.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Problems are the problems of one file or of many as one error.
type Problems []Problem

// Error returns the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Print writes problems, one a line, each as [Problem.String] has it.
func Print(w io.Writer, problems []Problem) error {
	for _, p := range problems {
		if _, err := fmt.Fprintln(w, p); err != nil {
			return err
		}
	}
	return nil
}
